use smallvec::SmallVec;

use super::limit::Taken;
use crate::{
    error::{Error, ErrorKind},
    model::{CacheStatus, CallContext, ModelRequest, Outcome, ResponseMeta, Tap},
};

/// The tokens that a call or an attempt has taken, until it is known what it has used.
pub(super) struct RateTap {
    taken: SmallVec<[Taken; 2]>,
    call: Option<Counted>,
}

/// A whole call, whose attempts are counted in its context: all of them, also those that gave no answer.
struct Counted {
    ctx: CallContext,
    before: u64,
}

impl RateTap {
    pub(super) fn new(request: &ModelRequest, taken: SmallVec<[Taken; 2]>) -> Self {
        let ctx = &request.ctx;
        // Above the attempts.
        let call = (request.attempt == 0).then(|| Counted {
            before: ctx.tokens(),
            ctx: ctx.clone(),
        });
        Self { taken, call }
    }

    /// It is answered so. What was answered before has used nothing now.
    pub(super) fn answered(self, meta: &ResponseMeta) -> Option<Self> {
        let kept = matches!(meta.cache, CacheStatus::Hit | CacheStatus::Shared);
        if kept || meta.replayed {
            self.correct(0);
            return None;
        }
        (!self.taken.is_empty()).then_some(self)
    }

    /// It failed before its answer began: it has used what its attempts have, unless the error only tells that nobody waited for more.
    pub(super) fn failed(&self, error: &Error) {
        let late = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Cut);
        match late && error.is_upstream() {
            true => self.at_least(self.counted()),
            false => self.correct(self.counted()),
        }
    }

    fn counted(&self) -> u64 {
        let counted = |call: &Counted| call.ctx.tokens().saturating_sub(call.before);
        self.call.as_ref().map_or(0, counted)
    }

    fn correct(&self, used: u64) {
        self.taken.iter().for_each(|taken| taken.correct(used));
    }

    fn at_least(&self, used: u64) {
        self.taken.iter().for_each(|taken| taken.at_least(used));
    }
}

impl Tap for RateTap {
    fn on_end(self: Box<Self>, outcome: Outcome<'_>) {
        let counted = self.counted();
        let told = match outcome {
            // Nobody is kept waiting for tokens that cannot have been used.
            Outcome::Complete(end) => end.usage.filter(|usage| !usage.is_absurd()),
            Outcome::Failed(_) | Outcome::Cut => None,
        };
        match told {
            // Where nobody counts, the answer's own are all that is known.
            Some(usage) if counted == 0 => self.correct(usage.total()),
            Some(_) => self.correct(counted),
            None => self.at_least(counted),
        }
    }
}
