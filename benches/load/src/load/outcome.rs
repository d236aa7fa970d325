//! What a load run saw.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

/// One answered request.
pub(crate) struct Sample {
    pub(crate) latency: Duration,
    /// Until the first event; none for whole answers.
    pub(crate) first_chunk: Option<Duration>,
    pub(crate) chunks: u64,
}

/// The samples of one worker or of all.
#[derive(Default)]
pub(crate) struct Samples {
    latencies: Vec<Duration>,
    first_chunks: Vec<Duration>,
    chunks: u64,
    errors: u64,
    first_error: Option<String>,
}

/// The summary of a run; times in microseconds unless named otherwise.
#[derive(Clone, Serialize)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) wall_seconds: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) first_chunk_p50_us: u64,
    pub(crate) first_chunk_p99_us: u64,
    pub(crate) chunks: u64,
}

impl Samples {
    pub(crate) fn add(&mut self, sample: Result<Sample>) {
        match sample {
            Ok(sample) => {
                self.latencies.push(sample.latency);
                self.first_chunks.extend(sample.first_chunk);
                self.chunks += sample.chunks;
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.first_chunks.extend(other.first_chunks);
        self.chunks += other.chunks;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    pub(crate) fn outcome(mut self, wall: Duration) -> Outcome {
        self.latencies.sort_unstable();
        self.first_chunks.sort_unstable();
        Outcome {
            requests: self.latencies.len() as u64 + self.errors,
            errors: self.errors,
            first_error: self.first_error,
            wall_seconds: wall.as_secs_f64(),
            p50_us: percentile(&self.latencies, 50),
            p99_us: percentile(&self.latencies, 99),
            first_chunk_p50_us: percentile(&self.first_chunks, 50),
            first_chunk_p99_us: percentile(&self.first_chunks, 99),
            chunks: self.chunks,
        }
    }
}

/// The nearest-rank percentile in microseconds; zero when there are no samples.
fn percentile(sorted: &[Duration], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let sample = sorted.get(rank.saturating_sub(1));
    sample.map_or(0, |sample| sample.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&sorted, 50), 100);
        assert_eq!(percentile(&sorted, 99), 198);
        assert_eq!(percentile(&sorted[..1], 99), 1);
        assert_eq!(percentile(&[], 50), 0);
    }
}
