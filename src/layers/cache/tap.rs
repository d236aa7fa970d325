use std::sync::Arc;

use bytes::Bytes;

use super::{question::Question, shelf::Shelf};
use crate::{
    catalog::{DeploymentId, Targets},
    model::{Agreement, Collected, Outcome, ResponseMeta, Tap, Verdict},
    store::{CacheEntry, CacheKey},
};

/// Collects an answer as it goes by and keeps it once it is complete.
pub(super) struct CacheTap {
    shelf: Arc<Shelf>,
    key: CacheKey,
    question: Question,
    deployment: DeploymentId,
    verdict: Option<Verdict>,
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
        verdict: Option<Verdict>,
        whole: bool,
    ) -> Self {
        Self {
            shelf,
            key,
            question,
            deployment,
            verdict,
            whole,
            data: Vec::new(),
            size: 0,
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
        if self.size > config.max_entry_bytes {
            return;
        }
        let answer = Collected {
            whole: self.whole,
            data: self.data,
            end: end.clone(),
        };
        if !self.question.is_done(&answer, config.tool_calls) {
            return;
        }
        let entry = CacheEntry {
            deployment: self.deployment,
            verdict: self.verdict,
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
