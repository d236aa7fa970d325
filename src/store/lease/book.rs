use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Answer, BudgetId, Lease, Marks, Short,
    account::{Account, is_unused, mark},
    queue::Queue,
};
use crate::{
    catalog::Money,
    error::Error,
    store::{Balance, Budget, Hold, OnStoreDown, plain},
};

/// The marks that are forgotten at a time: each is a write, and calls wait for the book meanwhile.
const FORGOTTEN: usize = 256;

/// All leases of one holder.
#[derive(Default)]
pub(crate) struct Book {
    pub(super) accounts: HashMap<Arc<str>, Account>,
    /// Those with leases.
    pub(super) leased: HashSet<Arc<str>>,
    pub(super) queue: Queue,
    /// Accounts that there is something to say of before the next tick.
    pub(super) hot: HashSet<Arc<str>>,
    /// What there is something to ask about, or to give back of.
    pub(super) due: BTreeSet<BudgetId>,
    holds: u64,
    /// Rounds of questions that have begun.
    pub(super) rounds: u64,
    pub(super) latest: Option<SystemTime>,
    /// The process ends, and wants nothing for calls to come.
    pub(super) leaving: bool,
    /// Nothing is held from a lease after this. By both clocks: one stands still while the computer sleeps, the other may be set
    /// back.
    valid_until: Option<(Instant, SystemTime)>,
}

impl Book {
    /// Time never runs backwards here: a clock that is set back gives no budget anew. It does where the database says that it has run
    /// ahead. In whole milliseconds, as the ledger keeps it.
    pub(crate) fn time(&mut self, clock: SystemTime) -> SystemTime {
        let clock = plain::time(plain::millis(clock));
        let now = self.latest.map_or(clock, |latest| latest.max(clock));
        if self.latest.is_none() {
            // What is held from now on is held from these.
            for lease in self.accounts.values_mut().flat_map(|a| &mut a.leases) {
                lease.began = lease.began.min(now);
            }
        }
        self.latest = Some(now);
        now
    }

    /// The time by which the last of all was decided.
    fn last_time(&self) -> SystemTime {
        self.latest.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Gives an account its budgets in place of those it had. The database hears of their limits with the next question about them,
    /// changed or not: somebody has just read them, and others may have told older ones.
    pub(crate) fn set(
        &mut self,
        name: Arc<str>,
        budgets: Vec<Budget>,
        on_down: Option<OnStoreDown>,
    ) {
        let account = self.accounts.entry(name.clone()).or_default();
        for lease in &mut account.leases {
            // Of a window that no budget counts over any more nothing is held, and what is free goes back.
            if let Some(budget) = budgets.iter().find(|b| b.window == lease.budget.window) {
                lease.budget = budget.clone();
                lease.count_missed(&account.under_way);
            }
        }
        if account.budgets != budgets {
            self.hot.insert(name.clone());
        }
        account.told.clear();
        account.budgets = budgets;
        account.on_down = on_down;
        if !account.is_of_use() {
            self.accounts.remove(&name);
        }
    }

    /// Holds `amount` of all `accounts` that have budgets, or of none.
    pub(crate) fn hold(
        &mut self,
        accounts: &[Arc<str>],
        amount: Money,
        clock: SystemTime,
        now: Instant,
        marks: &mut dyn Marks,
    ) -> Result<Hold, Short> {
        let hold = self.hold_of(amount, clock);
        let is_valid = |(until, by)| now < until && clock < by;
        let valid = self.valid_until.is_some_and(is_valid);
        let written = marks.written();
        for (i, name) in accounts.iter().enumerate() {
            let Some(account) = self.accounts.get_mut(name) else {
                continue;
            };
            if account.roll(hold.at, now) {
                self.leased.insert(name.clone());
            }
            if let Some(short) = account.short(hold, valid, written) {
                self.take_back(&accounts[..i], hold, marks);
                // What one of the others could never pay, no answer of the database makes good.
                let never = self.is_out_of_reach(&accounts[i + 1..], hold, now);
                return Err(if never { Short::Never } else { short });
            }
            if !account.hold(name, hold, now, marks) {
                self.take_back(&accounts[..=i], hold, marks);
                return Err(Short::Unmarked);
            }
        }
        Ok(hold)
    }

    /// Which budget has too little for `amount`, in words.
    pub(crate) fn refusal(&self, accounts: &[Arc<str>], amount: Money) -> Option<Error> {
        let at = self.last_time();
        accounts.iter().find_map(|name| {
            let account = self.accounts.get(name)?;
            account.refusal(name, amount, at)
        })
    }

    /// Holds without a lease while the database is away, if the call costs nothing, or the accounts say that calls go on: one at least,
    /// and none says that they do not; but never what a budget is known not to have. What is spent so is counted later.
    pub(crate) fn hold_open(
        &mut self,
        accounts: &[Arc<str>],
        amount: Money,
        clock: SystemTime,
        now: Instant,
        marks: &mut dyn Marks,
    ) -> Result<Hold, Short> {
        let hold = self.hold_of(amount, clock);
        if self.is_out_of_reach(accounts, hold, now) {
            return Err(Short::Never);
        }
        let words = accounts
            .iter()
            .filter_map(|name| self.accounts.get(name)?.on_down);
        if words.min() != Some(OnStoreDown::Open) && amount > Money::ZERO {
            return Err(Short::Away);
        }
        for name in accounts {
            if let Some(account) = self.accounts.get_mut(name) {
                account.hold(name, hold, now, marks);
            }
        }
        Ok(hold)
    }

    /// Whether an account could never pay for it, as far as is known here.
    fn is_out_of_reach(&mut self, accounts: &[Arc<str>], hold: Hold, now: Instant) -> bool {
        let nanos = hold.amount.nanos();
        accounts.iter().any(|name| {
            self.roll(name, hold.at, now);
            let account = self.accounts.get_mut(name);
            account.is_some_and(|a| a.current(hold.at).any(|l| l.is_out_of_reach(nanos)))
        })
    }

    /// Makes the leases of the windows of `at` of an account.
    pub(super) fn roll(&mut self, name: &Arc<str>, at: SystemTime, now: Instant) {
        if let Some(account) = self.accounts.get_mut(name)
            && account.roll(at, now)
        {
            self.leased.insert(name.clone());
        }
    }

    fn hold_of(&mut self, amount: Money, clock: SystemTime) -> Hold {
        self.holds += 1;
        Hold {
            amount: amount.max(Money::ZERO),
            at: self.time(clock),
            serial: self.holds,
        }
    }

    pub(super) fn take_back(&mut self, accounts: &[Arc<str>], hold: Hold, marks: &mut dyn Marks) {
        for name in accounts {
            if let Some(account) = self.accounts.get_mut(name) {
                account.under_way.take_back(hold);
                // Also those of a budget that has gone since.
                let leases = account.leases.iter_mut();
                for lease in leases.filter(|lease| lease.pays(hold.at)) {
                    lease.take_back(hold.serial, hold.amount.nanos());
                    mark(name, lease, marks);
                }
                if !account.is_of_use() {
                    self.accounts.remove(name);
                }
            }
        }
    }

    /// What was held becomes what was spent, in the windows in which it was held. Says whether somebody else waits for what is free
    /// now.
    pub(crate) fn settle(
        &mut self,
        accounts: &[Arc<str>],
        hold: Hold,
        spent: Money,
        now: Instant,
        marks: &mut dyn Marks,
    ) -> bool {
        let mut wanted = false;
        let spent = spent.max(Money::ZERO).nanos();
        for name in accounts {
            if let Some(account) = self.accounts.get_mut(name) {
                account.under_way.settle(hold, spent);
                for lease in account.leases.iter_mut().filter(|l| l.pays(hold.at)) {
                    lease.settle(hold.serial, spent, now, marks);
                    mark(name, lease, marks);
                    if lease.is_recalled(now) {
                        wanted = true;
                        self.hot.insert(name.clone());
                    }
                }
                if !account.is_of_use() {
                    self.accounts.remove(name);
                }
            }
        }
        wanted
    }

    /// How an account stands, one balance per budget, and whether the database has said so.
    pub(crate) fn balances(&mut self, name: &str, clock: SystemTime) -> Vec<(Balance, bool)> {
        let at = self.time(clock);
        let account = self.accounts.get(name);
        account.map_or_else(Vec::new, |account| account.balances(at).collect())
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let with_budget = self.accounts.iter().filter(|(_, a)| !a.budgets.is_empty());
        let mut names: Vec<_> = with_budget.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Whether a lease of these accounts, of the windows of now, is so.
    pub(super) fn any(&mut self, accounts: &[Arc<str>], is: impl Fn(&Lease) -> bool) -> bool {
        let at = self.last_time();
        accounts.iter().any(|name| {
            let account = self.accounts.get_mut(name);
            account.is_some_and(|account| account.current(at).any(|lease| is(lease)))
        })
    }

    /// Whether a lease of these runs low.
    pub(crate) fn runs_low(&mut self, accounts: &[Arc<str>], at: SystemTime, now: Instant) -> bool {
        let mut low = false;
        for name in accounts {
            if let Some(account) = self.accounts.get_mut(name)
                && account.current(at).any(|lease| lease.runs_low(now))
            {
                self.hot.insert(name.clone());
                low = true;
            }
        }
        low
    }

    /// Somebody needs what is idle of a budget.
    pub(crate) fn recall(&mut self, id: &BudgetId, now: Instant) {
        if let Some(lease) = self.lease(id) {
            lease.recall(now);
            self.hot.insert(id.account.clone());
        }
    }

    pub(crate) fn lease(&mut self, id: &BudgetId) -> Option<&mut Lease> {
        let account = self.accounts.get_mut(&id.account)?;
        account.leases.iter_mut().find(|lease| lease.is(id))
    }

    /// Takes the database's answers; see [`Answer`] and [`Lease::apply`].
    pub(crate) fn apply(&mut self, answers: impl IntoIterator<Item = (BudgetId, Option<Answer>)>) {
        let at = self.last_time();
        for (id, answer) in answers {
            if let Some(account) = self.accounts.get_mut(&id.account) {
                account.apply(&id, answer, at);
            }
            if answer.is_none() && self.lease(&id).is_some_and(|lease| lease.contains(at)) {
                // A clock that was wrong once must not be so for good. Of a window that is over it says nothing.
                self.latest = None;
            }
        }
    }

    /// The database has heard of this holder: leases are good until then, by either clock.
    pub(crate) fn renew(&mut self, until: Instant, by: SystemTime) {
        if self.valid_until.is_none_or(|(before, _)| before <= until) {
            self.valid_until = Some((until, by));
        }
    }

    /// The database knows this holder no more, or under a newer name: nothing is leased.
    pub(crate) fn begin_again(&mut self, marks: &mut dyn Marks) {
        self.valid_until = None;
        let at = self.last_time();
        for account in self.accounts.values_mut() {
            account.told.clear();
            account.under_way.clear();
            for lease in &mut account.leases {
                lease.begin_again(at);
                if let Some(at) = lease.unmark() {
                    marks.forget(at);
                }
            }
        }
    }

    /// Writes down anew what is held, after marks have begun anew.
    pub(crate) fn mark_all(&mut self, marks: &mut dyn Marks) {
        for (name, account) in &mut self.accounts {
            for lease in &mut account.leases {
                lease.unmark();
                if lease.tied() > 0 {
                    mark(name, lease, marks);
                }
            }
        }
    }

    /// Writes down again what was written too high, or could not be written.
    pub(crate) fn correct_marks(&mut self, marks: &mut dyn Marks) {
        for name in &self.leased {
            let account = self.accounts.get_mut(name);
            for lease in account.into_iter().flat_map(|account| &mut account.leases) {
                lease.prove(marks.written());
                if lease.is_marked_wrong() {
                    mark(name, lease, marks);
                }
            }
        }
    }

    /// Forgets leases that have been idle for `wait`, or whose window is over, once nothing is left to do for them; of many, some.
    pub(crate) fn forget_done(
        &mut self,
        wait: Duration,
        clock: SystemTime,
        now: Instant,
        marks: &mut dyn Marks,
    ) {
        let at = self.time(clock);
        let mut most = FORGOTTEN;
        self.leased.retain(|name| {
            let Some(account) = self.accounts.get_mut(name) else {
                return false;
            };
            let Account {
                budgets, leases, ..
            } = account;
            leases.retain_mut(|lease| {
                let over = most > 0 && lease.is_over(is_unused(lease, budgets), wait, at, now);
                if over && let Some(at) = lease.unmark() {
                    marks.forget(at);
                    most -= 1;
                }
                !over
            });
            let leased = !leases.is_empty();
            if !account.is_of_use() {
                self.accounts.remove(name);
            }
            leased
        });
    }
}
