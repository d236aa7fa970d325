use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::done;
use crate::{
    catalog::Money,
    store::{Ledger, LedgerRow, Spent, StoreFuture, window::Day},
};

/// The newest rows in memory, and what the older ones cost by day.
///
/// Sums are exact: over the rows that are kept from any point in time, over older ones from any midnight UTC, which is where budget
/// windows begin.
pub struct MemoryLedger {
    book: Mutex<Book>,
    keep: usize,
}

#[derive(Default)]
struct Book {
    rows: VecDeque<LedgerRow>,
    older: Older,
}

type Days = BTreeMap<Day, Money>;

#[derive(Default)]
struct Older {
    all: Days,
    by_key: HashMap<Arc<str>, Days>,
    by_tenant: HashMap<Arc<str>, Days>,
}

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
    fn record(&self, row: LedgerRow) {
        let mut book = self.book();
        book.rows.push_back(row);
        if book.rows.len() > self.keep
            && let Some(oldest) = book.rows.pop_front()
        {
            book.older.add(&oldest);
        }
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        done(())
    }

    fn spent<'a>(&'a self, whose: Spent<'a>, since: SystemTime) -> StoreFuture<'a, Money> {
        let book = self.book();
        let kept: Money = book
            .rows
            .iter()
            .filter(|row| row.started >= since && belongs(row, whose))
            .map(|row| row.cost)
            .sum();
        done(kept + book.older.sum(whose, Day::of(since)))
    }
}

impl Older {
    fn add(&mut self, row: &LedgerRow) {
        if row.cost.is_zero() {
            return;
        }
        let day = Day::of(row.started);
        let tenant = self.by_tenant.entry(row.tenant.clone()).or_default();
        let key = row
            .key
            .as_ref()
            .map(|key| self.by_key.entry(key.clone()).or_default());
        for days in [&mut self.all, tenant].into_iter().chain(key) {
            *days.entry(day).or_default() += row.cost;
        }
    }

    fn sum(&self, whose: Spent<'_>, since: Day) -> Money {
        let days = match whose {
            Spent::All => Some(&self.all),
            Spent::Key(key) => self.by_key.get(key),
            Spent::Tenant(tenant) => self.by_tenant.get(tenant),
        };
        days.into_iter()
            .flat_map(|days| days.range(since..))
            .map(|(_, &cost)| cost)
            .sum()
    }
}

fn belongs(row: &LedgerRow, whose: Spent<'_>) -> bool {
    match whose {
        Spent::All => true,
        Spent::Key(key) => row.key.as_deref() == Some(key),
        Spent::Tenant(tenant) => *row.tenant == *tenant,
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
