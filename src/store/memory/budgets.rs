use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use foldhash::HashMap;

use super::account::Account;
use crate::{
    catalog::Money,
    error::Error,
    store::{Balance, Budget, Budgets, Hold, Window},
};

/// Budgets in the memory of one process: `posted + reserved` never grows beyond a limit by a hold.
///
/// Windows roll over when they are looked at. Time never runs backwards here: a clock that is set back gives no budget anew.
pub struct MemoryBudgets {
    book: Mutex<Book>,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

struct Book {
    accounts: HashMap<Arc<str>, Account>,
    holds: u64,
    latest: SystemTime,
}

impl MemoryBudgets {
    /// A book without accounts, on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(SystemTime::now)
    }

    /// A book without accounts that asks `clock` for the time.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            book: Mutex::new(Book {
                accounts: HashMap::default(),
                holds: 0,
                latest: SystemTime::UNIX_EPOCH,
            }),
            clock: Box::new(clock),
        }
    }

    /// Gives an account its budgets in place of those it had. What it holds stays, and what it has spent over a window that it had
    /// before: [`seed`](Self::seed) adds the rest. With no budgets at all the account is forgotten, as soon as it holds nothing.
    pub fn set(&self, account: impl Into<Arc<str>>, budgets: Vec<Budget>) {
        let account = account.into();
        let (mut book, now) = self.open();
        let found = book.accounts.entry(Arc::clone(&account)).or_default();
        found.roll(now);
        found.set(budgets, now);
        if found.is_idle() {
            book.accounts.remove(&account);
        }
    }

    /// The time here: the clock's, but never backwards.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.open().1
    }

    /// Adds what an account has spent in the window of [`now`](Self::now) before this book counted it, as a ledger knows it:
    /// `ledger.spent(whose, start, end)` of that window. Without effect on an account without a budget over `window`.
    pub fn seed(&self, account: &str, window: &Window, posted: Money) {
        let (mut book, now) = self.open();
        if let Some(account) = book.accounts.get_mut(account) {
            account.roll(now);
            account.seed(window, posted.max(Money::ZERO));
        }
    }

    /// How an account stands, one balance per budget.
    #[must_use]
    pub fn balances(&self, account: &str) -> Vec<Balance> {
        let (mut book, now) = self.open();
        let Some(account) = book.accounts.get_mut(account) else {
            return Vec::new();
        };
        account.roll(now);
        account.balances().collect()
    }

    /// The names of all accounts with budgets, sorted.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<str>> {
        let book = self.open().0;
        let limited = book
            .accounts
            .iter()
            .filter(|(_, account)| account.has_budgets());
        let mut names: Vec<_> = limited.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// The book, and the time in it.
    fn open(&self) -> (MutexGuard<'_, Book>, SystemTime) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)().max(book.latest);
        book.latest = now;
        (book, now)
    }
}

impl Budgets for MemoryBudgets {
    fn hold(&self, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Error> {
        let (mut book, now) = self.open();
        let hold = Hold {
            amount: amount.max(Money::ZERO),
            at: now,
            serial: book.holds,
        };
        for (i, name) in accounts.iter().enumerate() {
            let Some(account) = book.accounts.get_mut(name) else {
                continue;
            };
            account.roll(now);
            if let Some(tight) = account.tight(hold.amount) {
                // Reserved one by one and taken back, so that an account named twice pays twice.
                for earlier in accounts[..i].iter() {
                    if let Some(account) = book.accounts.get_mut(earlier) {
                        account.take_back(hold);
                    }
                }
                return Err(tight.refusal(name, hold.amount, now));
            }
            account.reserve(hold);
        }
        book.holds += 1;
        Ok(hold)
    }

    fn settle(&self, accounts: &[Arc<str>], hold: Hold, spent: Money) {
        let (mut book, _) = self.open();
        for name in accounts {
            let Some(account) = book.accounts.get_mut(name) else {
                continue;
            };
            account.settle(hold, spent.max(Money::ZERO));
            if account.is_idle() {
                book.accounts.remove(name);
            }
        }
    }

    fn balance(&self, account: &str) -> Option<Balance> {
        let (mut book, now) = self.open();
        let account = book.accounts.get_mut(account)?;
        account.roll(now);
        account.balances().min_by_key(Balance::room)
    }
}

impl Default for MemoryBudgets {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBudgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudgets")
            .field("accounts", &self.open().0.accounts.len())
            .finish_non_exhaustive()
    }
}
