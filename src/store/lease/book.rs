use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    Answer, BudgetId, Lease, Marks, Short,
    account::{Account, mark},
    queue::Queue,
};
use crate::{
    catalog::Money,
    error::Error,
    store::{Balance, Budget, Hold, OnStoreDown},
};

/// All leases of one holder.
#[derive(Default)]
pub(crate) struct Book {
    pub(super) accounts: HashMap<Arc<str>, Account>,
    pub(super) queue: Queue,
    /// Accounts that there is something to say of before the next tick.
    pub(super) hot: HashSet<Arc<str>>,
    holds: u64,
    /// Rounds of questions that have begun.
    pub(super) rounds: u64,
    pub(super) latest: Option<SystemTime>,
    /// Nothing is held from a lease after this.
    valid_until: Option<Instant>,
}

impl Book {
    /// Time never runs backwards here: a clock that is set back gives no budget anew.
    pub(crate) fn time(&mut self, clock: SystemTime) -> SystemTime {
        let now = self.latest.map_or(clock, |latest| latest.max(clock));
        self.latest = Some(now);
        now
    }

    /// Gives an account its budgets in place of those it had.
    pub(crate) fn set(
        &mut self,
        name: Arc<str>,
        budgets: Vec<Budget>,
        on_down: Option<OnStoreDown>,
    ) {
        self.hot.insert(name.clone());
        let account = self.accounts.entry(name).or_default();
        for lease in &mut account.leases {
            // Of a window that no budget counts over any more nothing is held, and what is free goes back.
            if let Some(budget) = budgets.iter().find(|b| b.window == lease.budget.window) {
                lease.announce |= budget.limit != lease.budget.limit;
                lease.budget = budget.clone();
            }
        }
        account.budgets = budgets;
        account.on_down = on_down;
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
        let valid = self.valid_until.is_some_and(|until| now < until);
        let written = marks.written();
        for (i, name) in accounts.iter().enumerate() {
            let Some(account) = self.accounts.get_mut(name) else {
                continue;
            };
            account.roll(hold.at, now);
            if let Some(short) = account.short(hold, valid, written) {
                self.take_back(&accounts[..i], hold, marks);
                return Err(short);
            }
            account.hold(name, hold, now, marks);
            if account.is_unmarked() {
                self.take_back(&accounts[..=i], hold, marks);
                return Err(Short::Unmarked);
            }
        }
        Ok(hold)
    }

    /// Which budget has too little for `amount`, in words.
    pub(crate) fn refusal(&mut self, accounts: &[Arc<str>], amount: Money) -> Option<Error> {
        let at = self.latest.unwrap_or(SystemTime::UNIX_EPOCH);
        accounts.iter().find_map(|name| {
            let account = self.accounts.get_mut(name)?;
            account.refusal(name, amount, at)
        })
    }

    /// Holds without a lease, if the accounts say that calls go on while the database is away: one at least, and none says that they
    /// do not. What is spent so is counted later.
    pub(crate) fn hold_open(
        &mut self,
        accounts: &[Arc<str>],
        amount: Money,
        clock: SystemTime,
        now: Instant,
        marks: &mut dyn Marks,
    ) -> Option<Hold> {
        let words = accounts
            .iter()
            .filter_map(|name| self.accounts.get(name)?.on_down);
        if words.min()? == OnStoreDown::Closed {
            return None;
        }
        let hold = self.hold_of(amount, clock);
        for name in accounts {
            if let Some(account) = self.accounts.get_mut(name) {
                account.roll(hold.at, now);
                account.hold(name, hold, now, marks);
            }
        }
        Some(hold)
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
                // Also those of a budget that has gone since.
                let leases = account.leases.iter_mut();
                for lease in leases.filter(|lease| lease.contains(hold.at)) {
                    lease.take_back(hold.serial, hold.amount.nanos());
                    mark(name, lease, marks);
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
                for lease in account.leases.iter_mut().filter(|l| l.contains(hold.at)) {
                    lease.settle(hold.serial, spent, now, marks);
                    mark(name, lease, marks);
                    if lease.is_recalled(now) {
                        wanted = true;
                        self.hot.insert(name.clone());
                    }
                }
            }
        }
        wanted
    }

    /// How an account stands, one balance per budget.
    pub(crate) fn balances(&mut self, name: &str, clock: SystemTime, now: Instant) -> Vec<Balance> {
        let at = self.time(clock);
        let Some(account) = self.accounts.get_mut(name) else {
            return Vec::new();
        };
        account.roll(at, now);
        account.current(at).map(|lease| lease.balance()).collect()
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let with_budget = self.accounts.iter().filter(|(_, a)| !a.budgets.is_empty());
        let mut names: Vec<_> = with_budget.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Whether a lease of these accounts, of the windows of now, is so.
    pub(super) fn any(&mut self, accounts: &[Arc<str>], is: impl Fn(&Lease) -> bool) -> bool {
        let at = self.latest.unwrap_or(SystemTime::UNIX_EPOCH);
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
        account
            .leases
            .iter_mut()
            .find(|l| l.start == id.start && l.span == id.span)
    }

    /// Takes the database's answers.
    pub(crate) fn apply(&mut self, answers: impl IntoIterator<Item = (BudgetId, Answer)>) {
        for (id, answer) in answers {
            if let Some(lease) = self.lease(&id) {
                lease.apply(answer);
            }
        }
    }

    /// The database has heard of this holder: leases are good until then.
    pub(crate) fn renew(&mut self, until: Instant) {
        self.valid_until = self.valid_until.max(Some(until));
    }

    /// The database knows this holder no more, or under a newer name: nothing is leased.
    pub(crate) fn begin_again(&mut self, marks: &mut dyn Marks) {
        self.valid_until = None;
        for lease in self.accounts.values_mut().flat_map(|a| &mut a.leases) {
            lease.begin_again();
            if let Some(at) = lease.mark.take() {
                marks.forget(at);
            }
        }
    }

    /// Writes down anew what is held, after marks have begun anew.
    pub(crate) fn mark_all(&mut self, marks: &mut dyn Marks) {
        for (name, account) in &mut self.accounts {
            for lease in &mut account.leases {
                lease.mark = None;
                if lease.tied() > 0 {
                    mark(name, lease, marks);
                }
            }
        }
    }

    /// Writes down again what was written too high.
    pub(crate) fn correct_marks(&mut self, marks: &mut dyn Marks) {
        for (name, account) in &mut self.accounts {
            for lease in &mut account.leases {
                lease.prove(marks.written());
                if lease.is_marked_high() {
                    mark(name, lease, marks);
                }
            }
        }
    }

    /// Forgets leases of windows that are over once nothing is left to do for them.
    pub(crate) fn forget_past(&mut self, clock: SystemTime, marks: &mut dyn Marks) {
        let at = self.time(clock);
        for account in self.accounts.values_mut() {
            account.leases.retain(|lease| {
                let stays = lease.contains(at) || !lease.is_done() || !lease.has_arrived();
                if let (false, Some(at)) = (stays, lease.mark) {
                    marks.forget(at);
                }
                stays
            });
        }
        self.accounts.retain(|_, account| {
            // One without a budget may still have a word in what becomes of calls.
            let speaks = account.on_down.is_some() || !account.budgets.is_empty();
            speaks || !account.leases.is_empty()
        });
    }
}
