use std::time::Duration;

/// The options of [`EscalateLayer`](super::EscalateLayer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscalateConfig {
    /// How often one call may climb; its attempts bound it as well. Default 3.
    pub max_climbs: u32,
    /// What happens to streams below the highest tier. Default [`OnStream::probe`].
    pub on_stream: OnStream,
    /// The largest answer that is judged, in bytes; a larger one is accepted, a larger stream is passed on. Default 8 MiB.
    pub answer_limit: usize,
    /// The longest handoff, in bytes; a token is about four. Default 8 KiB.
    pub handoff_limit: usize,
}

impl Default for EscalateConfig {
    fn default() -> Self {
        Self {
            max_climbs: 3,
            on_stream: OnStream::probe(),
            answer_limit: 8 << 20,
            handoff_limit: 8 << 10,
        }
    }
}

/// What happens to a stream that could still climb. One from the highest allowed tier always passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStream {
    /// Held to its end, judged, and replayed.
    Buffer,
    /// Its beginning is held and looked at; then it is passed on and never taken back.
    Probe {
        /// The longest time the beginning is held.
        max_time: Duration,
        /// The most chunks that are held.
        max_chunks: usize,
        /// The most bytes that are held.
        max_bytes: usize,
    },
    /// Passed on unread; only a failure before its first frame climbs.
    Pass,
}

impl OnStream {
    /// A probe of at most 1.5 seconds, 24 chunks and 16 KiB.
    #[must_use]
    pub const fn probe() -> Self {
        Self::Probe {
            max_time: Duration::from_millis(1500),
            max_chunks: 24,
            max_bytes: 16 << 10,
        }
    }
}
