//! Rows that the journal has and the sink may not have.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use crate::{
    catalog::Money,
    store::{Entry, LedgerRow},
};

/// What an account paid for attempts that began at `since` or later, and before `until`.
#[derive(Clone, Copy)]
pub(super) struct Spending<'a> {
    pub(super) account: &'a str,
    pub(super) since: SystemTime,
    pub(super) until: Option<SystemTime>,
}

impl Spending<'_> {
    /// The number and the cost of a row, if it counts.
    pub(super) fn of(&self, seq: u64, row: &LedgerRow) -> Option<(u64, Money)> {
        let counts = row.is_of(self.since, self.until)
            && !row.cost.is_zero()
            && row.accounts.iter().any(|a| **a == *self.account);
        counts.then_some((seq, row.cost))
    }
}

/// In the order of their numbers: a batch on its way, and what comes after it.
#[derive(Default)]
pub(super) struct Unshipped {
    /// Shared and not cloned: it is looked at while it is on its way.
    batch: Arc<[Entry]>,
    rest: VecDeque<Entry>,
}

impl Unshipped {
    pub(super) fn extend(&mut self, entries: Vec<Entry>) {
        self.rest.extend(entries);
    }

    /// The oldest rows, at most `most` of them; the same ones until they have arrived.
    pub(super) fn load(&mut self, most: usize) -> Arc<[Entry]> {
        if self.batch.is_empty() {
            let most = most.min(self.rest.len());
            self.batch = self.rest.drain(..most).collect();
        }
        Arc::clone(&self.batch)
    }

    /// The batch has arrived: the number of its last row, and how many rows are left.
    pub(super) fn unload(&mut self) -> (Option<u64>, usize) {
        let arrived = std::mem::take(&mut self.batch);
        (arrived.last().map(|entry| entry.seq), self.rest.len())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.batch.iter().chain(&self.rest)
    }
}
