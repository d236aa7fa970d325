use std::sync::Arc;

use tokio::sync::oneshot;

use super::Short;
use crate::{catalog::Money, store::Hold};

/// What became of a call that waited.
pub(crate) type Told = Result<Hold, Short>;

/// A call that waits for money.
pub(super) struct Waiting {
    ticket: u64,
    pub(super) accounts: Arc<[Arc<str>]>,
    pub(super) amount: Money,
    /// The last round of questions that had begun when it came.
    pub(super) since: u64,
    told: oneshot::Sender<Told>,
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    pub(super) accounts: Arc<[Arc<str>]>,
    pub(crate) told: oneshot::Receiver<Told>,
}

/// Calls that wait for money, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    calls: Vec<Waiting>,
    tickets: u64,
}

impl Queue {
    pub(super) fn join(&mut self, accounts: &[Arc<str>], amount: Money, since: u64) -> Ticket {
        self.tickets += 1;
        let (told, receiver) = oneshot::channel();
        let accounts: Arc<[Arc<str>]> = accounts.into();
        self.calls.push(Waiting {
            ticket: self.tickets,
            accounts: Arc::clone(&accounts),
            amount,
            since,
            told,
        });
        Ticket {
            number: self.tickets,
            accounts,
            told: receiver,
        }
    }

    /// Leaves the queue; a hold that was on its way to the call comes back.
    pub(super) fn leave(&mut self, ticket: &mut Ticket) -> Option<Hold> {
        self.calls.retain(|call| call.ticket != ticket.number);
        ticket.told.try_recv().ok()?.ok()
    }

    pub(super) fn get(&self, ticket: &Ticket) -> Option<&Waiting> {
        self.calls.iter().find(|call| call.ticket == ticket.number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.calls.iter()
    }

    /// Tells those of whom `decide` knows what becomes of them; the others wait on.
    pub(super) fn tell(&mut self, mut decide: impl FnMut(&Waiting) -> Option<Told>) {
        let calls = std::mem::take(&mut self.calls);
        for call in calls {
            match decide(&call) {
                // Whoever waits leaves the queue before the receiver goes.
                Some(told) => drop(call.told.send(told)),
                None => self.calls.push(call),
            }
        }
    }
}
