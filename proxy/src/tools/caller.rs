use std::sync::{Arc, Mutex, PoisonError};

use rungs::catalog::Money;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Consent, Trail};
use crate::auth::Principal;

/// Who calls a tool, and how they hear of it.
pub(crate) struct Caller {
    /// Who it is, and pays.
    pub(crate) principal: Arc<Principal>,
    /// The session that the call came in, where there is one.
    pub(crate) session: Option<Arc<str>>,
    /// What their conversation has read before.
    pub(crate) trail: Trail,
    /// What a person has said to this call, where one was asked.
    pub(crate) consent: Consent,
    /// Where the tool says how far it is.
    pub(crate) progress: Progress,
    /// What the call costs them.
    pub(crate) bill: Bill,
    /// Told when they have lost interest. The toolbox drops the tool's future then; who starts work of its own watches this.
    pub(crate) cancelled: CancellationToken,
}

impl Caller {
    /// A caller who begins a conversation, and to whom nothing is said before the end.
    pub(crate) fn new(principal: Arc<Principal>) -> Self {
        Self {
            principal,
            session: None,
            trail: Trail::default(),
            consent: Consent::default(),
            progress: Progress::default(),
            bill: Bill::default(),
            cancelled: CancellationToken::new(),
        }
    }
}

/// What a call costs, as far as it has come. All clones are of one bill.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bill(Arc<Mutex<Option<Money>>>);

impl Bill {
    /// Adds what something has cost, also if that was nothing.
    pub(crate) fn add(&self, cost: Money) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = Some(sum.unwrap_or_default() + cost);
    }

    /// The sum; `None` if the call has paid for nothing.
    pub(crate) fn sum(&self) -> Option<Money> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a tool says how far it is. Best effort: it never blocks, and what nobody has heard yet may be dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Option<mpsc::Sender<Said>>);

/// What a tool has said of its progress.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// How much is done; it only grows.
    pub(crate) done: f64,
    /// Of how much, if that is known.
    pub(crate) total: Option<f64>,
    /// In words.
    pub(crate) message: String,
}

impl Progress {
    /// One that somebody listens to.
    pub(crate) fn heard() -> (Self, mpsc::Receiver<Said>) {
        const BACKLOG: usize = 16;
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self(Some(sender)), receiver)
    }

    /// Says that `done` of `total` is done.
    pub(crate) fn say(&self, done: f64, total: Option<f64>, message: &str) {
        if let Some(sender) = &self.0 {
            let message = message.to_owned();
            let _ = sender.try_send(Said {
                done,
                total,
                message,
            });
        }
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_some()
    }
}
