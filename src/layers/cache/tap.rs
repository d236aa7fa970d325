use std::sync::Arc;

use bytes::Bytes;

use super::shelf::Shelf;
use crate::{
    catalog::{DeploymentId, Targets},
    model::{
        Agreement, Collected, End, FinishReason, ModelRequest, Operation, Outcome, ResponseMeta,
        Tap,
    },
    store::{CacheEntry, CacheKey},
};

/// Collects an answer as it goes by and keeps it once it is complete.
pub(super) struct CacheTap {
    shelf: Arc<Shelf>,
    key: CacheKey,
    question: Question,
    deployment: DeploymentId,
    whole: bool,
    data: Vec<Bytes>,
    size: usize,
}

impl CacheTap {
    pub(super) fn new(
        shelf: Arc<Shelf>,
        key: CacheKey,
        question: Question,
        deployment: DeploymentId,
        whole: bool,
    ) -> Self {
        Self {
            shelf,
            key,
            question,
            deployment,
            whole,
            data: Vec::new(),
            size: 0,
        }
    }

    /// A filter, a tool call or somebody else's limit may turn out otherwise the next time, or mean something in this conversation
    /// only. A limit that the question itself sets is part of the question.
    fn is_done(&self, end: &End) -> bool {
        match end.finish {
            Some(FinishReason::Stop) => true,
            Some(FinishReason::ToolCalls) => self.shelf.config.tool_calls,
            Some(FinishReason::Length) => self.question == Question::LimitedChat,
            None => self.question == Question::NoChat,
            _ => false,
        }
    }
}

/// What was asked, as far as it tells when an answer is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// A chat that ends when the model is done.
    Chat,
    /// A chat that sets its own output limit.
    LimitedChat,
    /// Something that has no finish reason.
    NoChat,
}

impl Question {
    pub(super) fn of(request: &ModelRequest) -> Self {
        let limit = ["max_completion_tokens", "max_tokens"].map(|name| request.body.get(name));
        match request.op {
            Operation::Chat if limit.iter().any(Option::is_some) => Self::LimitedChat,
            Operation::Chat => Self::Chat,
            _ => Self::NoChat,
        }
    }
}

impl Tap for CacheTap {
    fn on_data(&mut self, data: &Bytes) {
        self.size += data.len();
        if self.size <= self.shelf.config.max_entry_bytes {
            self.data.push(data.clone());
        } else {
            self.data = Vec::new();
        }
    }

    fn on_end(self: Box<Self>, outcome: Outcome<'_>) {
        let Outcome::Complete(end) = outcome else {
            return;
        };
        let config = &self.shelf.config;
        if self.size > config.max_entry_bytes || !self.is_done(end) {
            return;
        }
        let answer = Collected {
            whole: self.whole,
            data: self.data,
            end: end.clone(),
        };
        let entry = CacheEntry {
            deployment: self.deployment,
            answer: answer.compact(),
        };
        self.shelf.store.put(self.key, Arc::new(entry), config.ttl);
    }
}

/// Who answered, if the answer is what was asked for: not a fallback's, not one with reservations, not one that reviewers
/// doubted or could not check.
pub(super) fn worth_keeping(meta: &ResponseMeta, targets: &Targets) -> Option<DeploymentId> {
    let sure = match &meta.verdict {
        Some(verdict) => verdict.agreement == Agreement::Agree,
        None => true,
    };
    let id = &meta.deployment.as_ref()?.id;
    (sure && !meta.fallback && meta.notes.is_empty() && targets.contains(id)).then(|| id.clone())
}
