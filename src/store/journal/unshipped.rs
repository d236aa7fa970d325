//! Rows that the journal has and the sink may not have.

use std::{collections::VecDeque, sync::Arc};

use crate::store::Entry;

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
