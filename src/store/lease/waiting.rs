use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;

use super::{Book, Lease, Marks, Short, Ticket, queue::Waiting};
use crate::catalog::Money;

/// Calls that wait for money.
impl Book {
    /// Puts a call that found too little into the queue.
    pub(crate) fn wait(&mut self, accounts: &[Arc<str>], amount: Money) -> Ticket {
        self.queue.join(accounts, amount, self.rounds)
    }

    /// Takes a call out of the queue, whatever has become of it meanwhile.
    pub(crate) fn leave(&mut self, ticket: &mut Ticket, marks: &mut dyn Marks) {
        if let Some(hold) = self.queue.leave(ticket) {
            self.take_back(&ticket.accounts, hold, marks);
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Gives those who wait what there is now, and tells those for whom there will be nothing.
    pub(crate) fn serve(&mut self, clock: SystemTime, now: Instant, marks: &mut dyn Marks) {
        let mut queue = std::mem::take(&mut self.queue);
        queue.tell(
            |call| match self.hold(&call.accounts, call.amount, clock, now, marks) {
                Err(Short::Now) if !self.is_hopeless(call) => None,
                told => Some(told),
            },
        );
        self.queue = queue;
    }

    /// The database is away: nobody need wait for it.
    pub(crate) fn give_up(&mut self) {
        self.queue.tell(|_| Some(Err(Short::Away)));
    }

    /// Whether waiting any longer is in vain, by what was learned since the call came.
    fn is_hopeless(&mut self, call: &Waiting) -> bool {
        let (nanos, since) = (call.amount.nanos(), call.since);
        self.any(&call.accounts, |lease| lease.is_hopeless(nanos, since))
    }

    /// Whether the database has said since the call came that a budget of it has no room, with what is free here.
    pub(crate) fn lacks_room(&mut self, ticket: &Ticket) -> bool {
        let Some(call) = self.queue.get(ticket) else {
            return false;
        };
        let (nanos, since) = (call.amount.nanos(), call.since);
        self.any(&ticket.accounts, |lease| lease.lacks_room(nanos, since))
    }

    /// Whether the database's clock says that it is another window's time than the call comes in.
    pub(crate) fn is_elsewhen(&mut self, ticket: &Ticket) -> bool {
        self.any(&ticket.accounts, Lease::is_shut)
    }
}
