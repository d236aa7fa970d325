use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use crate::{
    catalog::Money,
    error::{Error, ErrorKind},
    store::{Balance, Budget, Budgets, Hold, Window, window::Day},
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

struct Account {
    budgets: Vec<Budget>,
    /// One per window, whether or not a budget counts over it yet: a budget that changes its window keeps what was spent.
    counters: [Counter; 4],
    /// The first hold that this account has seen.
    first_hold: u64,
}

#[derive(Clone, Copy)]
struct Counter {
    since: Day,
    posted: Money,
    reserved: Money,
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
                accounts: HashMap::new(),
                holds: 0,
                latest: SystemTime::UNIX_EPOCH,
            }),
            clock: Box::new(clock),
        }
    }

    /// Gives an account its budgets in place of those it had. What it has spent and holds stays; with no budgets at all the account
    /// is forgotten.
    pub fn set(&self, account: impl Into<Arc<str>>, budgets: Vec<Budget>) {
        let account = account.into();
        let (mut book, now) = self.open();
        if budgets.is_empty() {
            book.accounts.remove(&account);
            return;
        }
        let first_hold = book.holds;
        let found = book
            .accounts
            .entry(account)
            .or_insert_with(|| Account::new(now, first_hold));
        found.budgets = budgets;
    }

    /// Restores what an account has spent in the window of now, as a ledger knows it:
    /// `ledger.spent(whose, window.start(now))`. Without effect on an account without budgets.
    pub fn seed(&self, account: &str, window: Window, posted: Money) {
        let (mut book, now) = self.open();
        if let Some(account) = book.accounts.get_mut(account) {
            account.roll(Day::of(now));
            account.counters[window as usize].posted = posted.max(Money::ZERO);
        }
    }

    /// How an account stands, one balance per budget.
    #[must_use]
    pub fn balances(&self, account: &str) -> Vec<Balance> {
        let (mut book, now) = self.open();
        let Some(account) = book.accounts.get_mut(account) else {
            return Vec::new();
        };
        account.roll(Day::of(now));
        account.balances().collect()
    }

    /// The names of all accounts with budgets, sorted.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.open().0.accounts.keys().cloned().collect();
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
        let today = Day::of(now);
        for (i, name) in accounts.iter().enumerate() {
            let Some(account) = book.accounts.get_mut(name) else {
                continue;
            };
            account.roll(today);
            let tight = account.balances().find(|b| b.lacks_room(hold.amount));
            if let Some(tight) = tight {
                // Reserved one by one and taken back, so that an account named twice pays twice.
                for earlier in &accounts[..i] {
                    book.settle(earlier, hold, Money::ZERO);
                }
                return Err(refusal(name, tight, hold));
            }
            account.reserve(hold.amount);
        }
        book.holds += 1;
        Ok(hold)
    }

    fn settle(&self, accounts: &[Arc<str>], hold: Hold, spent: Money) {
        let (mut book, _) = self.open();
        for account in accounts {
            book.settle(account, hold, spent.max(Money::ZERO));
        }
    }

    fn balance(&self, account: &str) -> Option<Balance> {
        self.balances(account).into_iter().min_by_key(Balance::room)
    }
}

impl Book {
    fn settle(&mut self, account: &str, hold: Hold, spent: Money) {
        let Some(account) = self.accounts.get_mut(account) else {
            return;
        };
        let reserved = if hold.serial < account.first_hold {
            Money::ZERO
        } else {
            hold.amount
        };
        let day = Day::of(hold.at);
        for (window, counter) in Window::ALL.into_iter().zip(&mut account.counters) {
            if counter.since == window.first_day(day) {
                counter.reserved = counter.reserved - reserved;
                counter.posted += spent;
            }
        }
    }
}

impl Account {
    fn new(now: SystemTime, first_hold: u64) -> Self {
        let today = Day::of(now);
        Self {
            budgets: Vec::new(),
            counters: Window::ALL.map(|window| Counter::new(window, today)),
            first_hold,
        }
    }

    fn roll(&mut self, today: Day) {
        for (window, counter) in Window::ALL.into_iter().zip(&mut self.counters) {
            if counter.since < window.first_day(today) {
                *counter = Counter::new(window, today);
            }
        }
    }

    fn balances(&self) -> impl Iterator<Item = Balance> {
        self.budgets.iter().map(|&budget| {
            let counter = self.counters[budget.window as usize];
            Balance {
                budget,
                posted: counter.posted,
                reserved: counter.reserved,
            }
        })
    }

    fn reserve(&mut self, amount: Money) {
        for counter in &mut self.counters {
            counter.reserved += amount;
        }
    }
}

impl Counter {
    fn new(window: Window, today: Day) -> Self {
        Self {
            since: window.first_day(today),
            posted: Money::ZERO,
            reserved: Money::ZERO,
        }
    }
}

impl Balance {
    /// A budget that is spent pays for nothing more, not even for what is free; one of nothing pays for what is free.
    fn is_spent(&self) -> bool {
        self.posted >= self.budget.limit && !self.budget.limit.is_zero()
    }

    fn lacks_room(&self, amount: Money) -> bool {
        self.is_spent() || amount > self.room().max(Money::ZERO)
    }
}

/// Shows the kind of the account, never its id: the caller need not be its owner.
fn refusal(account: &str, tight: Balance, hold: Hold) -> Error {
    let kind = account.split_once(':').map_or(account, |(kind, _)| kind);
    let Balance {
        budget,
        posted,
        reserved,
    } = tight;
    let today = Day::of(hold.at);
    let reset = match budget.window.next_first_day(today) {
        Some(day) => format!("it resets on {day} at 00:00 UTC"),
        None => "it does not reset".to_owned(),
    };
    let message = if tight.is_spent() {
        format!("the {kind} budget of ${budget} is spent; {reset}")
    } else {
        format!(
            "the {kind} budget of ${budget} has no room for ${}, the most this call can cost: \
             ${posted} is spent and ${reserved} held by calls under way; {reset}",
            hold.amount
        )
    };
    let error = Error::new(ErrorKind::Budget, message);
    match budget.window.end(hold.at) {
        Some(end) => error.retry_after(end.duration_since(hold.at).unwrap_or_default()),
        None => error,
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
