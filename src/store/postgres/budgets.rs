use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use super::{
    PostgresStore, failed,
    keeper::Keeper,
    marks::MarkFile,
    place::Place,
    pool::{Pool, answered},
    standing, unavailable,
};
use crate::{
    catalog::Money,
    error::{Error, ErrorKind},
    store::{
        AccountBalance, Balance, Budget, Budgets, Hold, Ledger, OnStoreDown, StoreFuture,
        lease::{Book, Short},
    },
};

/// An answer of the database that may say yes is waited for so many times as long as one that says no.
const LATE: u32 = 8;

/// How leases are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// A folder of this process alone, for what is used of its leases. With it a process that was killed has its money back as soon
    /// as it starts again; without it, whatever its leases had counts as spent. The journal, if there is one, is in its folder
    /// `journal`: the rows of one bear the name of the other.
    pub folder: Option<PathBuf>,
    /// How long a call waits, at most, for money that is not there; for an answer that may say that it is, a few times as long.
    pub patience: Duration,
    /// How long leases are good without word from the database.
    pub ttl: Duration,
    /// Money that nobody has asked for during this time goes back.
    pub idle: Duration,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self {
            folder: None,
            patience: Duration::from_millis(250),
            ttl: Duration::from_secs(600),
            idle: Duration::from_secs(10),
        }
    }
}

/// Budgets that any number of processes share through one PostgreSQL, and never overspend.
///
/// Each process holds a lease on a part of each budget that it spends from, granted and committed before it is used, and holds and
/// settles in memory. It asks for more before it runs out. A call for which a lease has no room waits a bounded time: for a grant,
/// for what others have idle, or for what calls under way turn out not to cost. It is refused when the database says that there is no
/// room. Rows that arrive in the [ledger](super::PostgresLedger) move what they cost from the lease to what is spent.
///
/// No lease ends by time alone. It is closed by its holder; by the next process with the same folder; or by an operator who knows
/// that the holder is gone, with [`PostgresStore::close_dead`].
pub struct LeasedBudgets {
    shared: Arc<Shared>,
}

/// What calls and the keeper share.
pub(super) struct Shared {
    pub(super) pool: Arc<Pool>,
    pub(super) name: Arc<str>,
    pub(super) terms: LeaseTerms,
    pub(super) desk: Mutex<Desk>,
    /// For the keeper: there is something to ask.
    pub(super) wake: Notify,
    pub(super) down: AtomicBool,
    pub(super) recalled: AtomicBool,
    pub(super) replayed: AtomicBool,
    pub(super) closing: AtomicBool,
    pub(super) closed: watch::Sender<bool>,
}

/// The leases, and where what is used of them is written down.
pub(super) struct Desk {
    pub(super) book: Book,
    pub(super) marks: MarkFile,
}

impl LeasedBudgets {
    /// Budgets on leases from `store`. The database need not be there yet.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the folder of the terms cannot be used, or belongs to another process.
    pub fn open(store: &PostgresStore, terms: LeaseTerms) -> Result<Self, Error> {
        let marks = MarkFile::open(terms.folder.as_deref())?;
        let shared = Arc::new(Shared {
            pool: store.pool.clone(),
            name: marks.holder(),
            terms,
            desk: Mutex::new(Desk {
                book: Book::default(),
                marks,
            }),
            wake: Notify::new(),
            down: AtomicBool::new(false),
            recalled: AtomicBool::new(false),
            replayed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            closed: watch::Sender::new(false),
        });
        Keeper::start(Arc::clone(&shared));
        Ok(Self { shared })
    }

    /// The name under which this process holds leases, for [`PostgresStore::ledger`].
    #[must_use]
    pub fn holder(&self) -> Arc<str> {
        self.shared.name.clone()
    }

    /// The ledger that takes a row for each attempt before what it held is settled. Should this process be killed, the next one
    /// charges what that ledger has no row for at its worst case; leases leave room for it until the row is written.
    pub fn recorded_by(&self, ledger: Arc<dyn Ledger>) {
        self.shared.desk().marks.recorded_by(ledger);
    }

    /// Gives an account its budgets in place of those it had, here and in the database. A limit that is lower than what is out
    /// already applies as soon as that fits under it. While the database is away and leases are used up, calls are made if one of
    /// the accounts that pay for them is [open](OnStoreDown::Open) and none is [closed](OnStoreDown::Closed); `None` leaves it to
    /// the others.
    pub fn set(
        &self,
        account: impl Into<Arc<str>>,
        budgets: Vec<Budget>,
        on_down: impl Into<Option<OnStoreDown>>,
    ) {
        self.shared
            .desk()
            .book
            .set(account.into(), budgets, on_down.into());
        self.shared.wake.notify_one();
    }

    /// How an account stands, one balance per budget, as far as this process knows: what others do it learns when it asks for more.
    /// Of an account that it has not used lately it knows nothing: see [`stand`](Self::stand).
    #[must_use]
    pub fn balances(&self, account: &str) -> Vec<Balance> {
        let balances = self.known(account).into_iter();
        balances.map(|(balance, _)| balance).collect()
    }

    /// The same, and of each balance whether the database has said how the budget stands.
    #[must_use]
    pub fn known(&self, account: &str) -> Vec<(Balance, bool)> {
        let mut desk = self.shared.desk();
        desk.book.balances(account, SystemTime::now())
    }

    /// The same for many accounts, where the database is asked about those that this process has not used lately. While it does not
    /// answer they are [stale](AccountBalance::is_stale).
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the database cannot be read.
    pub async fn stand(&self, accounts: &[Arc<str>]) -> Result<Vec<AccountBalance>, Error> {
        let known = accounts.iter().flat_map(|account| {
            let balances = self.known(account).into_iter();
            balances.map(|(balance, is_known)| AccountBalance {
                account: account.clone(),
                balance,
                is_stale: !is_known,
            })
        });
        let mut all: Vec<_> = known.collect();
        let mut idle: Vec<_> = all.iter_mut().filter(|one| one.is_stale).collect();
        if idle.is_empty() {
            return Ok(all);
        }
        let budgets = idle
            .iter()
            .map(|one| (&one.account, &one.balance.budget.window));
        let stands = answered(async {
            let mut connection = self.shared.pool.get().await?;
            standing::read(&mut connection, budgets, SystemTime::now())
                .await
                .map_err(failed("the budgets cannot be read"))
        });
        let stands = match stands.await {
            Err(error) if error.kind() == ErrorKind::Unavailable => Vec::new(),
            stands => stands?,
        };
        for (one, (posted, granted)) in idle.iter_mut().zip(stands) {
            one.balance.posted = Money::from_nanos(posted);
            one.balance.reserved = Money::from_nanos(granted);
            one.is_stale = false;
        }
        Ok(all)
    }

    /// The names of all accounts with budgets, sorted.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<str>> {
        self.shared.desk().book.names()
    }

    /// Whether the database answered when it was last asked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.shared.down.load(Ordering::SeqCst)
    }

    /// Says that all rows of the processes before this one, with the same folder, are in the ledger. What their leases had and no row
    /// explains was held by calls under way when they died: it counts as spent.
    pub fn replayed(&self) {
        self.shared.replayed.store(true, Ordering::SeqCst);
        self.shared.wake.notify_one();
    }

    /// Gives back what is free, and holds nothing any more. To be called once calls have ended and their rows are in the ledger; what
    /// is not stays out until the next process with the same folder has brought it there.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the database could not be told.
    pub async fn close(&self) -> Result<(), Error> {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.wake.notify_one();
        let mut closed = self.shared.closed.subscribe();
        let _ = closed.wait_for(|closed| *closed).await;
        match self.is_up() {
            true => Ok(()),
            false => Err(unavailable("idle leases could not be given back")),
        }
    }

    fn try_hold(&self, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Short> {
        let (clock, now) = (SystemTime::now(), Instant::now());
        let mut desk = self.shared.desk();
        let Desk { book, marks } = &mut *desk;
        let hold = book.hold(accounts, amount, clock, now, marks)?;
        if book.runs_low(accounts, hold.at, now) {
            self.shared.wake.notify_one();
        }
        Ok(hold)
    }

    /// Waits for a hold until there is one, or it is clear that there will be none.
    async fn wait_for(&self, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Error> {
        let shared = &*self.shared;
        let refused = |short| self.refuse(short, accounts, amount);
        let start = Instant::now();
        let mut place = match Place::take(shared, accounts, amount) {
            Err(told) => return told.or_else(refused),
            Ok(place) => place,
        };
        shared.wake.notify_one();
        let mut deadline = start + shared.terms.patience;
        loop {
            match timeout_at(deadline, &mut place.ticket.told).await {
                Ok(Ok(told)) => return told.or_else(refused),
                Ok(Err(_)) => return refused(Short::Away),
                Err(_) if place.lacks_room() => return refused(Short::Now),
                Err(_) if start.elapsed() > shared.terms.patience * LATE => {
                    return refused(match place.is_elsewhen() {
                        true => Short::Elsewhen,
                        false => Short::Away,
                    });
                }
                // There may be room: only the answer is late.
                Err(_) => deadline += shared.terms.patience,
            }
        }
    }

    /// Calls may be made all the same while nobody can tell what was spent.
    fn refuse(&self, short: Short, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Error> {
        if !matches!(short, Short::Away) {
            return Err(self.refusal(short, accounts, amount));
        }
        let held = {
            let (clock, now) = (SystemTime::now(), Instant::now());
            let mut desk = self.shared.desk();
            let Desk { book, marks } = &mut *desk;
            book.hold_open(accounts, amount, clock, now, marks)
        };
        held.map_err(|short| self.refusal(short, accounts, amount))
    }

    fn refusal(&self, short: Short, accounts: &[Arc<str>], amount: Money) -> Error {
        match short {
            Short::Unmarked => {
                unavailable("the budget cannot be held: what is used of it cannot be written down")
            }
            Short::Elsewhen => unavailable(
                "the budget cannot be checked: the clocks of this process and of the database do not agree on which window it is",
            ),
            Short::Away => {
                unavailable("the budget cannot be checked: the database does not answer")
            }
            Short::Never | Short::Now => self
                .shared
                .desk()
                .book
                .refusal(accounts, amount)
                .unwrap_or_else(|| unavailable("the budget is in use; try again")),
        }
    }
}

impl Budgets for LeasedBudgets {
    fn hold(&self, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Error> {
        self.try_hold(accounts, amount)
            .map_err(|short| self.refusal(short, accounts, amount))
    }

    fn wait<'a>(
        &'a self,
        accounts: &'a [Arc<str>],
        amount: Money,
    ) -> Option<StoreFuture<'a, Hold>> {
        Some(Box::pin(self.wait_for(accounts, amount)))
    }

    fn settle(&self, accounts: &[Arc<str>], hold: Hold, spent: Money) {
        let recalled = {
            let mut desk = self.shared.desk();
            let Desk { book, marks } = &mut *desk;
            let now = Instant::now();
            let recalled = book.settle(accounts, hold, spent, now, marks);
            if book.is_waiting() {
                book.serve(SystemTime::now(), now, marks);
            }
            recalled
        };
        if recalled {
            self.shared.wake.notify_one();
        }
    }

    fn balance(&self, account: &str) -> Option<Balance> {
        self.balances(account).into_iter().min_by_key(Balance::room)
    }
}

impl Drop for LeasedBudgets {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.wake.notify_one();
    }
}

impl fmt::Debug for LeasedBudgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedBudgets")
            .field("holder", &self.shared.name)
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_budget_that_cannot_be_held_just_now_says_when_to_ask_again() {
        let store = PostgresStore::new("postgres://nobody@127.0.0.1:9/none", 1).unwrap();
        let budgets = LeasedBudgets::open(&store, LeaseTerms::default()).unwrap();
        for short in [Short::Unmarked, Short::Elsewhen, Short::Away] {
            let error = budgets.refusal(short, &[], Money::ZERO);
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.get_retry_after().is_some(), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn how_idle_accounts_stand_is_told_as_far_as_it_is_known_while_the_database_is_away() {
        let store = PostgresStore::new("postgres://nobody@127.0.0.1:9/none", 1).unwrap();
        let budgets = LeasedBudgets::open(&store, LeaseTerms::default()).unwrap();
        budgets.set("key:k", vec!["1/day".parse().unwrap()], None);
        let stand = budgets.stand(&["key:k".into()]).await.unwrap();
        let [one] = &*stand else { panic!("{stand:?}") };
        assert!(one.is_stale);
        assert_eq!(one.balance, budgets.balances("key:k")[0]);
    }
}
