use std::time::Duration;

use tower_layer::Layer;

use super::{CrossCheck, CrossCheckConfig, When, flaw::Flaws};
use crate::model::{ModelRequest, chat::Answer};

/// Lets other deployments review an answer, and an arbiter decide where they differ.
#[derive(Debug, Clone, Default)]
pub struct CrossCheckLayer {
    config: CrossCheckConfig,
    flaws: Flaws,
}

impl CrossCheckLayer {
    /// Checks the calls that `when` says, with one reviewer.
    #[must_use]
    pub fn new(when: When) -> Self {
        Self::default().config(CrossCheckConfig {
            when,
            ..CrossCheckConfig::default()
        })
    }

    /// Sets all options at once.
    #[must_use]
    pub fn config(mut self, config: CrossCheckConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets how many other deployments review an answer.
    #[must_use]
    pub fn reviewers(mut self, reviewers: usize) -> Self {
        self.config.reviewers = reviewers;
        self
    }

    /// Sets how many usable reviews are enough; the others are then cancelled.
    #[must_use]
    pub fn min_responses(mut self, reviews: usize) -> Self {
        self.config.min_responses = Some(reviews);
        self
    }

    /// Sets the most tokens of one review, with what the model thinks.
    #[must_use]
    pub fn review_tokens(mut self, tokens: u32) -> Self {
        self.config.review_tokens = tokens;
        self
    }

    /// Sets the longest time that reviews and arbitration take together.
    #[must_use]
    pub fn max_time(mut self, time: Duration) -> Self {
        self.config.max_time = time;
        self
    }

    /// Sets the largest streamed answer that is collected for a check, in bytes.
    #[must_use]
    pub fn answer_limit(mut self, bytes: usize) -> Self {
        self.config.answer_limit = bytes;
        self
    }

    /// Has an arbiter's answer judged: `flaw` says what is wrong with it, if anything. One that is empty, cut off, filtered or
    /// marked as a refusal is flawed in any case. A flawed answer does not take the place of one without a flaw.
    #[must_use]
    pub fn judge(
        mut self,
        flaw: impl Fn(&ModelRequest, &Answer) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.flaws = Flaws::new(flaw);
        self
    }
}

impl<S> Layer<S> for CrossCheckLayer {
    type Service = CrossCheck<S>;

    fn layer(&self, inner: S) -> CrossCheck<S> {
        CrossCheck::new(inner, self.config, self.flaws.clone())
    }
}
