use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use super::done;
use crate::{
    catalog::Money,
    store::{Ledger, LedgerRow, Spent, StoreFuture},
};

/// The newest rows in memory, and what the older ones cost by the quarter of an hour.
///
/// Sums are exact: over the rows that are kept from any point in time, over older ones from any full quarter, which is where the
/// budget windows of every time zone begin.
pub struct MemoryLedger {
    book: Mutex<Book>,
    keep: usize,
}

#[derive(Default)]
struct Book {
    rows: VecDeque<LedgerRow>,
    older: Older,
}

/// By the number of the quarter since 1970.
type Quarters = BTreeMap<u64, Money>;

fn quarter(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / 900
}

#[derive(Default)]
struct Older {
    all: Quarters,
    by_key: HashMap<Arc<str>, Quarters>,
    by_tenant: HashMap<Arc<str>, Quarters>,
    by_account: HashMap<Arc<str>, Quarters>,
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
        done(kept + book.older.sum(whose, quarter(since)))
    }
}

impl Older {
    fn add(&mut self, row: &LedgerRow) {
        if row.cost.is_zero() {
            return;
        }
        let quarter = quarter(row.started);
        let tenant = self.by_tenant.entry(row.tenant.clone()).or_default();
        let key = row
            .key
            .as_ref()
            .map(|key| self.by_key.entry(key.clone()).or_default());
        for quarters in [&mut self.all, tenant].into_iter().chain(key) {
            *quarters.entry(quarter).or_default() += row.cost;
        }
        for account in row.accounts.iter() {
            let quarters = self.by_account.entry(account.clone()).or_default();
            *quarters.entry(quarter).or_default() += row.cost;
        }
    }

    fn sum(&self, whose: Spent<'_>, since: u64) -> Money {
        let quarters = match whose {
            Spent::All => Some(&self.all),
            Spent::Key(key) => self.by_key.get(key),
            Spent::Tenant(tenant) => self.by_tenant.get(tenant),
            Spent::Account(account) => self.by_account.get(account),
        };
        quarters
            .into_iter()
            .flat_map(|quarters| quarters.range(since..))
            .map(|(_, &cost)| cost)
            .sum()
    }
}

fn belongs(row: &LedgerRow, whose: Spent<'_>) -> bool {
    match whose {
        Spent::All => true,
        Spent::Key(key) => row.key.as_deref() == Some(key),
        Spent::Tenant(tenant) => *row.tenant == *tenant,
        Spent::Account(account) => row.accounts.iter().any(|a| **a == *account),
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
