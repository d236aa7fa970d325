use std::fmt;

use tower_layer::Layer;

use super::{Conversation, ConversationConfig, Conversations};
use crate::model::BoxModelService;

/// Puts what was said before in front of a request; see the [module](super).
#[derive(Clone)]
pub struct ConversationLayer {
    pub(super) conversations: Conversations,
    pub(super) summarizer: Option<BoxModelService>,
    pub(super) config: ConversationConfig,
}

impl ConversationLayer {
    /// Goes on with, and adds to, these conversations. Nothing is summarized.
    #[must_use]
    pub fn new(conversations: Conversations) -> Self {
        Self {
            conversations,
            summarizer: None,
            config: ConversationConfig::default(),
        }
    }

    /// Lets `service` summarize long conversations: a stack below this layer, with everything that counts and pays in it. It is
    /// asked within the targets of the call that made the conversation long, on the lowest of their tiers.
    #[must_use]
    pub fn summarizer(mut self, service: BoxModelService) -> Self {
        self.summarizer = Some(service);
        self
    }

    /// Sets all options at once.
    #[must_use]
    pub fn config(mut self, config: ConversationConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets how many messages may stand without a summary.
    #[must_use]
    pub fn window(mut self, messages: usize) -> Self {
        self.config.window = messages;
        self
    }

    /// Sets the most tokens of a summary, with what the model thinks.
    #[must_use]
    pub fn summary_tokens(mut self, tokens: u32) -> Self {
        self.config.summary_tokens = tokens;
        self
    }

    /// Sets how many messages stay whole, about.
    #[must_use]
    pub fn keep(mut self, messages: usize) -> Self {
        self.config.keep = messages;
        self
    }
}

impl<S> Layer<S> for ConversationLayer {
    type Service = Conversation<S>;

    fn layer(&self, inner: S) -> Conversation<S> {
        Conversation::new(inner, self.clone())
    }
}

impl fmt::Debug for ConversationLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationLayer")
            .field("conversations", &self.conversations)
            .field("summarizer", &self.summarizer.is_some())
            .field("config", &self.config)
            .finish()
    }
}
