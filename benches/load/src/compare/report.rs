//! What the comparison found, as tables for people and as JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::Outcome;

/// One counted round through one proxy.
pub(crate) struct Round {
    pub(crate) cpu: Duration,
    pub(crate) outcome: Outcome,
}

/// The rounds of one kind of load, in threes.
#[derive(Default)]
pub(crate) struct Series {
    pub(crate) bare: Vec<Round>,
    pub(crate) rungs: Vec<Round>,
    pub(crate) waived: Vec<Round>,
}

/// Answers one after another.
#[derive(Default)]
pub(crate) struct Lone {
    pub(crate) direct: Vec<Outcome>,
    pub(crate) bare: Vec<Outcome>,
    pub(crate) rungs: Vec<Outcome>,
}

/// What a proxy takes before and after the load.
pub(crate) struct Footprint {
    pub(crate) ready: Duration,
    pub(crate) idle_kib: u64,
    pub(crate) loaded_kib: u64,
}

/// Everything measured.
pub(crate) struct Report {
    pub(crate) whole: Series,
    /// The same with so many at a time.
    pub(crate) crowd: (usize, Series),
    /// The same with so many a second.
    pub(crate) steady: (u32, Series),
    pub(crate) stream: Series,
    pub(crate) lone: Lone,
    /// Streams with a pause between chunks.
    pub(crate) paced: Lone,
    pub(crate) bare: Footprint,
    pub(crate) rungs: Footprint,
}

impl Round {
    fn cpu_seconds_per_thousand(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3 / self.outcome.requests as f64
    }

    fn cpu_us_per_chunk(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.outcome.chunks as f64
    }

    fn requests_per_second(&self) -> f64 {
        self.outcome.requests as f64 / self.outcome.wall_seconds
    }

    fn p50_ms(&self) -> f64 {
        self.outcome.p50_us as f64 / 1e3
    }

    fn p99_ms(&self) -> f64 {
        self.outcome.p99_us as f64 / 1e3
    }
}

impl Series {
    /// The median of the bare proxy and of the gateway, and the median of the ratios within each pair of rounds.
    fn figures(&self, figure: fn(&Round) -> f64) -> [f64; 3] {
        self.against_bare(&self.rungs, figure)
    }

    fn against_bare(&self, rounds: &[Round], figure: fn(&Round) -> f64) -> [f64; 3] {
        let pairs = self.bare.iter().zip(rounds);
        [
            median(self.bare.iter().map(figure)),
            median(rounds.iter().map(figure)),
            median(pairs.map(|(bare, other)| figure(other) / figure(bare))),
        ]
    }

    fn waived(&self) -> [f64; 3] {
        self.against_bare(&self.waived, Round::cpu_seconds_per_thousand)
    }

    /// By how much budgets and the durable ledger raise the ratio: the median within each three of rounds.
    fn money(&self) -> f64 {
        let figure = Round::cpu_seconds_per_thousand;
        let threes = self.bare.iter().zip(self.rungs.iter().zip(&self.waived));
        median(
            threes.map(|(bare, (rungs, waived))| (figure(rungs) - figure(waived)) / figure(bare)),
        )
    }

    fn json(&self) -> Value {
        json!({
            "seconds_per_1000": sides(self.figures(Round::cpu_seconds_per_thousand)),
            "without_money": sides(self.waived()),
            "money_adds": self.money(),
        })
    }
}

impl Lone {
    /// Medians in milliseconds: direct, through the bare proxy, through the gateway.
    fn figures(&self, p50_us: fn(&Outcome) -> u64) -> [f64; 3] {
        [&self.direct, &self.bare, &self.rungs]
            .map(|rounds| median(rounds.iter().map(|round| p50_us(round) as f64)) / 1e3)
    }
}

impl Report {
    /// The loads of whole answers, with the words that tell them apart.
    fn loads(&self) -> [(String, &Series); 3] {
        let (crowd, many) = &self.crowd;
        let (rate, even) = &self.steady;
        [
            (String::new(), &self.whole),
            (format!(", {crowd} at a time"), many),
            (format!(", {rate} a second"), even),
        ]
    }

    /// Medians in milliseconds of whole answers and of first chunks that come one after another.
    fn waits(&self) -> [(&'static str, &'static str, [f64; 3]); 2] {
        [
            (
                "whole_p50_ms",
                "whole answer, p50",
                self.lone.figures(|round| round.p50_us),
            ),
            (
                "first_chunk_p50_ms",
                "first of chunks that are 5 ms apart, p50",
                self.paced.figures(|round| round.first_chunk_p50_us),
            ),
        ]
    }

    /// Markdown tables.
    pub(crate) fn tables(&self) -> String {
        let mut rows =
            String::from("| | bare proxy | rungs | rungs / bare |\n| :-- | --: | --: | --: |\n");
        let mut row = |title: &str, unit: &str, digits: usize, [bare, rungs, ratio]: [f64; 3]| {
            rows.push_str(&format!(
                "| {title} | {bare:.digits$}{unit} | {rungs:.digits$}{unit} | {ratio:.2} |\n"
            ));
        };
        for (load, series) in self.loads() {
            let title = format!("processor time, 1,000 whole answers{load}");
            let per_thousand = series.figures(Round::cpu_seconds_per_thousand);
            row(&title, " s", 3, per_thousand);
            let waived = "the same, no budgets and no ledger on the disk";
            row(waived, " s", 3, series.waived());
        }
        let per_chunk = self.stream.figures(Round::cpu_us_per_chunk);
        row("processor time, one streamed chunk", " µs", 2, per_chunk);
        let rate = self.whole.figures(Round::requests_per_second);
        row("whole answers per second", "", 0, rate);
        let p50 = self.whole.figures(Round::p50_ms);
        row("whole answer under that load, p50", " ms", 2, p50);
        let p99 = self.whole.figures(Round::p99_ms);
        row("whole answer under that load, p99", " ms", 2, p99);
        let mib = |bare: u64, rungs: u64| {
            let [bare, rungs] = [bare, rungs].map(|kib| kib as f64 / 1024.0);
            [bare, rungs, rungs / bare]
        };
        let idle = mib(self.bare.idle_kib, self.rungs.idle_kib);
        row("resident memory when ready", " MiB", 1, idle);
        let loaded = mib(self.bare.loaded_kib, self.rungs.loaded_kib);
        row("resident memory after the load", " MiB", 1, loaded);
        let [bare, rungs] = [&self.bare, &self.rungs].map(|side| side.ready.as_secs_f64() * 1e3);
        row("start until ready", " ms", 0, [bare, rungs, rungs / bare]);

        let mut waits = String::from(
            "| one after another | direct | bare proxy | rungs | rungs over bare |\n| :-- | --: | --: | --: | --: |\n",
        );
        for (_, title, [direct, bare, rungs]) in self.waits() {
            waits.push_str(&format!(
                "| {title} | {direct:.3} ms | {bare:.3} ms | {rungs:.3} ms | {:+.3} ms |\n",
                rungs - bare
            ));
        }
        let money = self.loads().map(|(load, series)| {
            let load = load.replace(", ", " with ");
            format!("{:.2}{load}", series.money())
        });
        format!(
            "{rows}\nBudgets and the durable ledger add to a whole answer, in times of the bare proxy: {}.\n\n{waits}",
            money.join(", "),
        )
    }

    /// The same figures under stable names.
    pub(crate) fn json(&self) -> Value {
        let waits = self.waits().map(|(name, _, [direct, bare, rungs])| {
            let sides = json!({ "direct": direct, "bare": bare, "rungs": rungs, "rungs_over_bare": rungs - bare });
            (name.to_owned(), sides)
        });
        json!({
            "whole": {
                "rounds": self.whole.bare.len(),
                "cpu": self.whole.json(),
                "requests_per_second": sides(self.whole.figures(Round::requests_per_second)),
                "p50_ms": sides(self.whole.figures(Round::p50_ms)),
                "p99_ms": sides(self.whole.figures(Round::p99_ms)),
            },
            "crowd": { "at_a_time": self.crowd.0, "cpu": self.crowd.1.json() },
            "steady": { "a_second": self.steady.0, "cpu": self.steady.1.json() },
            "stream": {
                "rounds": self.stream.bare.len(),
                "cpu_us_per_chunk": sides(self.stream.figures(Round::cpu_us_per_chunk)),
            },
            "one_after_another": Value::Object(waits.into_iter().collect()),
            "bare": self.bare.json(),
            "rungs": self.rungs.json(),
        })
    }
}

impl Footprint {
    fn json(&self) -> Value {
        json!({
            "ready_ms": self.ready.as_secs_f64() * 1e3,
            "idle_rss_kib": self.idle_kib,
            "loaded_rss_kib": self.loaded_kib,
        })
    }
}

fn sides([bare, rungs, ratio]: [f64; 3]) -> Value {
    json!({ "bare": bare, "rungs": rungs, "ratio": ratio })
}

/// The middle value, the mean of the two middle ones when their number is even.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 9.0].into_iter()), 3.0);
        assert_eq!(median([4.0, 1.0, 9.0, 2.0].into_iter()), 3.0);
        assert!(median(std::iter::empty()).is_nan());
    }
}
