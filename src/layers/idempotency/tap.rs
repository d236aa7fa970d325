use bytes::Bytes;

use super::IdempotencyConfig;
use crate::{
    catalog::{DeploymentId, Money},
    error::{Error, ErrorKind},
    model::{CallContext, Collected, Outcome, Tap},
    store::{Claim, KeptCall, KeptOutcome, Question, Remarks},
};

/// A claimed call on its way.
pub(super) struct Carrying {
    pub(super) claim: Claim,
    pub(super) question: Question,
    pub(super) config: IdempotencyConfig,
    pub(super) ctx: CallContext,
}

impl Carrying {
    /// Keeps what the call ended with.
    fn end(self, outcome: KeptOutcome) {
        let call = KeptCall {
            question: self.question,
            outcome,
        };
        self.claim.finish(call, self.config.ttl);
    }

    /// An error is kept only if it has cost something, or may have: of what is still under way, nobody knows yet.
    pub(super) fn failed(self, error: &Error) {
        match self.ctx.spent() > Money::ZERO || !error.is_unbilled() {
            // A repetition is told the same whenever it comes: to wait is of no use.
            true => self.end(KeptOutcome::Failed(error.clone().without_retry_after())),
            false => self.claim.fail(error),
        }
    }
}

/// Collects an answer as it goes by.
pub(super) struct IdempotencyTap {
    pub(super) carrying: Carrying,
    pub(super) deployment: Option<DeploymentId>,
    pub(super) remarks: Remarks,
    pub(super) whole: bool,
    pub(super) data: Vec<Bytes>,
    pub(super) size: usize,
}

impl Tap for IdempotencyTap {
    fn on_data(&mut self, data: &Bytes) {
        self.size += data.len();
        if self.size <= self.carrying.config.max_bytes {
            self.data.push(data.clone());
        } else {
            self.data = Vec::new();
        }
    }

    fn on_end(self: Box<Self>, outcome: Outcome<'_>) {
        let end = match outcome {
            Outcome::Complete(end) => end,
            Outcome::Failed(error) => return self.carrying.failed(error),
            // The claim goes, and with it the name is free.
            Outcome::Cut => return,
        };
        let max = self.carrying.config.max_bytes;
        if self.size > max {
            let error = Error::new(
                ErrorKind::Conflict,
                format!(
                    "the call of this Idempotency-Key was answered, and the answer, of more than {max} bytes, was not kept; to ask again, use another key"
                ),
            );
            return self.carrying.end(KeptOutcome::Failed(error));
        }
        let answer = Collected {
            whole: self.whole,
            data: self.data,
            end: end.clone(),
        };
        self.carrying.end(KeptOutcome::Answer {
            deployment: self.deployment,
            remarks: self.remarks,
            answer: answer.compact(),
        });
    }
}
