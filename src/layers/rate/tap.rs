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
pub(super) struct Counted {
    ctx: CallContext,
    before: u64,
}

impl Counted {
    /// From here on; nothing where `request` is one attempt of a call.
    pub(super) fn of(request: &ModelRequest) -> Option<Self> {
        let ctx = &request.ctx;
        (request.attempt == 0).then(|| Self {
            before: ctx.tokens(),
            ctx: ctx.clone(),
        })
    }
}

impl RateTap {
    pub(super) fn new(taken: SmallVec<[Taken; 2]>, call: Option<Counted>) -> Self {
        Self { taken, call }
    }

    /// It is answered so. What the cache has kept was paid for by a call that was read to its end, and has used nothing now. Of an answer
    /// that is shared or told again, the call that paid for it may have been left by its client: then its tokens are counted here.
    pub(super) fn answered(self, meta: &ResponseMeta) -> Option<Self> {
        if meta.cache == CacheStatus::Hit {
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
