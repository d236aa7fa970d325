use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::done;
use crate::{
    catalog::Money,
    store::{
        Intent, Ledger, LedgerRow, StoreFuture,
        ledger::{quarter, quarters},
    },
};

/// The newest rows in memory, and what the older ones cost by the quarter of an hour.
///
/// Sums are exact: over the rows that are kept from any point in time, over older ones from any full quarter.
pub struct MemoryLedger {
    book: Mutex<Book>,
    keep: usize,
}

#[derive(Default)]
struct Book {
    rows: VecDeque<LedgerRow>,
    older: Older,
}

/// What accounts paid in each quarter of an hour.
type Older = HashMap<Arc<str>, BTreeMap<i64, Money>>;

impl MemoryLedger {
    /// A ledger that keeps the newest `keep` rows.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self {
            book: Mutex::default(),
            keep,
        }
    }

    /// The rows that are kept, oldest first.
    #[must_use]
    pub fn rows(&self) -> Vec<LedgerRow> {
        self.book().rows.iter().cloned().collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for MemoryLedger {
    fn end(&self, _: Intent, row: LedgerRow) {
        let mut book = self.book();
        book.rows.push_back(row);
        if book.rows.len() > self.keep
            && let Some(oldest) = book.rows.pop_front()
        {
            book.outlive(&oldest);
        }
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        done(())
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        let book = self.book();
        let pays = |row: &&LedgerRow| row.accounts.iter().any(|a| **a == *account);
        let kept = book.rows.iter().filter(|row| row.is_of(since, until));
        let kept: Money = kept.filter(pays).map(|row| row.cost).sum();
        let spanned = quarters(since, until);
        let older = book.older.get(account).into_iter();
        let older: Money = older
            .flat_map(|quarters| quarters.range(spanned.clone()))
            .map(|(_, cost)| *cost)
            .sum();
        done(kept + older)
    }
}

impl Book {
    /// Keeps what a row cost when the row itself goes.
    fn outlive(&mut self, row: &LedgerRow) {
        if row.cost.is_zero() {
            return;
        }
        for account in row.accounts.iter() {
            let quarters = self.older.entry(account.clone()).or_default();
            *quarters.entry(quarter(row.started)).or_default() += row.cost;
        }
    }
}

impl Default for MemoryLedger {
    /// Keeps ten thousand rows.
    fn default() -> Self {
        Self::new(10_000)
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger")
            .field("rows", &self.book().rows.len())
            .field("keep", &self.keep)
            .finish()
    }
}
