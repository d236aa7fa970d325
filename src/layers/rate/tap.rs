use super::limit::{Taken, total};
use crate::model::{Outcome, Tap};

/// Corrects the tokens of an attempt when its answer ends.
pub(super) struct RateTap(pub(super) Taken);

impl Tap for RateTap {
    fn on_end(self: Box<Self>, outcome: Outcome<'_>) {
        if let Outcome::Complete(end) = outcome
            && let Some(usage) = &end.usage
            // Nobody is kept waiting for tokens that cannot have been used.
            && !usage.is_absurd()
        {
            self.0.correct(total(usage));
        }
    }
}
