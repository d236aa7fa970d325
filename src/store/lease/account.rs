use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;

use super::{BudgetId, Lease};
use crate::{
    catalog::Money,
    error::Error,
    store::{Balance, Budget, Hold, OnStoreDown},
};

/// The budgets of an account, and the leases on them.
#[derive(Default)]
pub(super) struct Account {
    pub(super) budgets: Vec<Budget>,
    /// What becomes of its calls while the database is away; `None` leaves that to the others that pay.
    pub(super) on_down: Option<OnStoreDown>,
    /// Of the windows of now, and of those before that are not done.
    pub(super) leases: Vec<Lease>,
}

/// Remembers how much of each lease is used, so that it is known when the process dies.
pub(crate) trait Marks {
    /// Writes down that `used` of a lease is used; `at` is where it was written last. Returns where it is written now; `None` if it
    /// could not be written.
    fn mark(&mut self, at: Option<usize>, id: &BudgetId, used: i64) -> Option<usize>;

    /// The mark is not needed any more.
    fn forget(&mut self, at: usize);

    /// The last row that the ledger has taken.
    fn taken(&self) -> u64;

    /// The last row of the ledger that survives this process.
    fn written(&self) -> u64;
}

/// Why nothing was held.
#[derive(Debug)]
pub(crate) enum Short {
    /// No lease could pay for it.
    Never,
    /// A lease has no room; the database may have.
    Now,
    /// What is held could not be written down.
    Unmarked,
    /// The database does not answer.
    Away,
}

impl Account {
    /// Makes the leases of `at`'s windows, with nothing in them, where they are missing.
    pub(super) fn roll(&mut self, at: SystemTime, now: Instant) {
        for budget in &self.budgets {
            let current = |l: &Lease| l.budget.window == budget.window && l.contains(at);
            if !self.leases.iter().any(current) {
                let span = budget.window.span(at);
                self.leases.push(Lease::new(budget.clone(), span, now));
            }
        }
    }

    /// The leases of the windows of `at` that a budget counts over.
    pub(super) fn current(&mut self, at: SystemTime) -> impl Iterator<Item = &mut Lease> {
        let budgets = &self.budgets;
        let leases = self.leases.iter_mut();
        leases.filter(move |lease| is_current(lease, budgets, at))
    }

    /// What they are called.
    pub(super) fn ids(&self, name: &Arc<str>, at: SystemTime) -> impl Iterator<Item = BudgetId> {
        let leases = self.leases.iter();
        leases
            .filter(move |lease| is_current(lease, &self.budgets, at))
            .map(|lease| id(name, lease))
    }

    /// What stands in the way of a hold.
    pub(super) fn short(&mut self, hold: Hold, valid: bool, written: u64) -> Option<Short> {
        let nanos = hold.amount.nanos();
        let mut short = None;
        for lease in self.current(hold.at) {
            lease.prove(written);
            if lease.is_out_of_reach(nanos) {
                return Some(Short::Never);
            }
            if !lease.is_known() || (nanos > 0 && (!valid || nanos > lease.free())) {
                short = Some(Short::Now);
            }
        }
        short
    }

    /// The error of the budget that has the least room for `amount`, if one has too little.
    pub(super) fn refusal(&mut self, name: &str, amount: Money, at: SystemTime) -> Option<Error> {
        let balances = self.current(at).map(|lease| lease.balance());
        let tight = balances.min_by_key(Balance::room)?;
        tight
            .lacks_room(amount)
            .then(|| tight.refusal(name, amount, at))
    }

    pub(super) fn hold(
        &mut self,
        name: &Arc<str>,
        hold: Hold,
        now: Instant,
        marks: &mut dyn Marks,
    ) {
        for lease in self.current(hold.at) {
            lease.hold(hold.serial, hold.amount.nanos(), now);
            mark(name, lease, marks);
        }
    }

    pub(super) fn is_unmarked(&self) -> bool {
        self.leases
            .iter()
            .any(|lease| lease.tied() > 0 && lease.mark.is_none())
    }
}

fn is_current(lease: &Lease, budgets: &[Budget], at: SystemTime) -> bool {
    lease.contains(at) && budgets.iter().any(|b| b.window == lease.budget.window)
}

pub(super) fn mark(name: &Arc<str>, lease: &mut Lease, marks: &mut dyn Marks) {
    let id = id(name, lease);
    let used = lease.next_mark();
    lease.mark = marks.mark(lease.mark, &id, used);
}

pub(super) fn id(name: &Arc<str>, lease: &Lease) -> BudgetId {
    BudgetId {
        account: name.clone(),
        span: lease.span.clone(),
        start: lease.start,
    }
}
