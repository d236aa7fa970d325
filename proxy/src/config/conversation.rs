use std::time::Duration;

use rungs::{layers::conversation::ConversationConfig, store::LONGEST_WINDOW};
use serde::Deserialize;

use super::{error::Faults, seconds, store};

/// `[conversation]`: what was said before in a conversation that a call names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Conversation {
    /// How many messages stand without a summary; with more, the older ones are summarized.
    pub(crate) window: usize,
    /// How many stay whole.
    pub(crate) keep: usize,
    /// Whether there are summaries at all.
    pub(crate) summarize: bool,
    /// How long a copy of what was said last is at hand.
    #[serde(rename = "ttl_seconds", deserialize_with = "seconds::some")]
    pub(crate) ttl: Duration,
    /// How many bytes of copies are in memory, where there is no Redis for them.
    pub(crate) max_bytes: u64,
    /// After how long without a message a conversation is forgotten; never if unset.
    #[serde(deserialize_with = "store::age")]
    pub(crate) forget_after: Option<Duration>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            window: LONGEST_WINDOW,
            keep: 8,
            summarize: true,
            ttl: Duration::from_secs(3600),
            max_bytes: 64 << 20,
            forget_after: None,
        }
    }
}

impl Conversation {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        // A summary needs time before what is further back is not at hand any more, and must have something to take in.
        if !(12..=LONGEST_WINDOW).contains(&self.window) {
            faults.at(
                "conversation.window",
                format_args!("is {}; it may be 12 to {LONGEST_WINDOW}", self.window),
            );
        }
        if !(5..=10).contains(&self.keep) {
            faults.at(
                "conversation.keep",
                format_args!("is {}; it may be 5 to 10", self.keep),
            );
        }
    }

    /// As the conversation layer wants it.
    pub(crate) fn to_layer(&self) -> ConversationConfig {
        ConversationConfig {
            window: self.window,
            keep: self.keep,
            ..ConversationConfig::default()
        }
    }
}
