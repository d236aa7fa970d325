use std::{
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use tokio::time::Instant;

use super::budgets::{Desk, Shared};
use crate::{
    catalog::Money,
    store::{
        Hold,
        lease::{Short, Ticket},
    },
};

/// A call's place in the queue; it leaves when dropped.
pub(super) struct Place<'a> {
    shared: &'a Shared,
    pub(super) ticket: Ticket,
}

impl<'a> Place<'a> {
    /// A place, unless it is clear already what becomes of the call.
    pub(super) fn take(
        shared: &'a Shared,
        accounts: &[Arc<str>],
        amount: Money,
    ) -> Result<Self, Result<Hold, Short>> {
        let mut desk = shared.desk();
        let Desk { book, marks } = &mut *desk;
        match book.hold(accounts, amount, SystemTime::now(), Instant::now(), marks) {
            Err(Short::Now) if shared.down.load(Ordering::SeqCst) => Err(Err(Short::Away)),
            Err(Short::Now) => Ok(Self {
                shared,
                ticket: book.wait(accounts, amount),
            }),
            told => Err(told),
        }
    }

    /// Whether it comes in another window's time than that of the database.
    pub(super) fn is_elsewhen(&self) -> bool {
        let mut desk = self.shared.desk();
        desk.book.is_elsewhen(&self.ticket)
    }

    /// Whether there is no room, as far as anybody knows.
    pub(super) fn lacks_room(&self) -> bool {
        let mut desk = self.shared.desk();
        desk.book.lacks_room(&self.ticket)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut desk = self.shared.desk();
        let Desk { book, marks } = &mut *desk;
        book.leave(&mut self.ticket, marks);
    }
}
