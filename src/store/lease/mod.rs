//! Leases on budgets, as pure arithmetic: no IO, no clock of its own.
//!
//! A budget of one of its windows is a [`Standing`] that all holders share; a database keeps it. A holder has a [`Book`] with a
//! [`Lease`] per budget: money that was granted to it and committed, from which it may hold without asking. In nano-dollars:
//!
//! - shared: `posted + granted <= limit`, always, and `granted` is the sum over all leases of `size - shipped`;
//! - here: `used - beyond <= size`, where `used` is what is held and what was spent since the lease began, and `beyond` what has
//!   arrived that the lease could not pay for. Only holds beyond the lease (which an operator may allow while the database is away)
//!   and provider bills beyond the worst case break it, until their rows have arrived. The difference is at any time what has arrived
//!   of the lease, what is on its way, and what is held: both sides ask of a call whether it began before the lease did.
//!
//! So what was and will be spent of a budget is at most `posted + granted`, and that at most the limit.
//!
//! A call that finds too little here waits in the book's queue. [`Questions`] carry what the waiting calls need to the database, which
//! grants a call all it lacks of all its budgets, or nothing.

mod account;
mod asking;
mod book;
mod held;
mod lately;
mod queue;
mod round;
mod standing;
mod under_way;
mod waiting;

pub(crate) use account::{Marks, Short};
pub(crate) use asking::Which;
pub(crate) use book::Book;
pub(crate) use held::Lease;
pub(crate) use queue::Ticket;
pub(crate) use round::{Answer, Ask, Granted, Line, Need, Questions};
pub(crate) use standing::Standing;

use std::{sync::Arc, time::SystemTime};

/// A budget over one of its windows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BudgetId {
    pub(crate) account: Arc<str>,
    /// The window as text.
    pub(crate) span: Arc<str>,
    pub(crate) start: SystemTime,
}

#[cfg(test)]
mod tests;
