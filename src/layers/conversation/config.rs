use std::time::Duration;

use crate::store::LONGEST_WINDOW;

/// The options of [`ConversationLayer`](super::ConversationLayer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationConfig {
    /// How many messages may stand without a summary; with more, the older ones are summarized. Default 50, which is also the
    /// [most](crate::store::LONGEST_WINDOW) that leaves time for the summary.
    pub window: usize,
    /// How many bytes they may have. Default 128 KiB.
    pub window_bytes: usize,
    /// How many messages stay whole, about: 5 to 10, more where a call of a tool and its results would be parted. Default 8.
    pub keep: usize,
    /// The longest summary, in bytes; what is longer is cut. Default 3 KiB, which a handoff
    /// to a higher tier can quote whole.
    pub summary_limit: usize,
    /// The most tokens that it may take to write, with what the model thinks, where the model can give so many: a budget holds what they
    /// cost, and a summary that is given up is charged it. Default 16,384.
    pub summary_tokens: u32,
    /// How long a summary may take. Default one minute.
    pub summary_time: Duration,
    /// The longest answer that is kept, in bytes as it came; a longer one leaves no turn. Default 4 MiB.
    pub answer_limit: usize,
}

impl Default for ConversationConfig {
    fn default() -> Self {
        Self {
            window: LONGEST_WINDOW,
            window_bytes: 128 << 10,
            keep: 8,
            summary_limit: 3 << 10,
            summary_tokens: 16_384,
            summary_time: Duration::from_secs(60),
            answer_limit: 4 << 20,
        }
    }
}
