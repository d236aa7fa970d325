use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;

use super::{Answer, BudgetId, Lease, under_way::UnderWay};
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
    /// Of the windows in which it was used, unless all is done there.
    pub(super) leases: Vec<Lease>,
    /// The budgets whose limits the database has heard of since they were set.
    pub(super) told: Vec<Budget>,
    pub(super) under_way: UnderWay,
}

/// Remembers how much of each lease is used, so that it is known when the process dies.
pub(crate) trait Marks {
    /// Writes down that `used` of a lease is used; `at` is where it was written last. Returns where it is written now; `None` if it
    /// could not be written: then what was written last still is.
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
    /// The database's clock says that it is another window's time.
    Elsewhen,
    /// A lease has no room; the database may have.
    Now,
    /// What is held could not be written down.
    Unmarked,
    /// The database does not answer.
    Away,
}

impl Account {
    /// How it stands over its windows of now, and whether anybody here knows.
    pub(super) fn balances(&self, at: SystemTime) -> impl Iterator<Item = (Balance, bool)> {
        self.budgets.iter().map(move |budget| {
            let nothing = || Balance {
                budget: budget.clone(),
                posted: Money::ZERO,
                reserved: Money::ZERO,
            };
            match self.leases.iter().find(|lease| is_of(lease, budget, at)) {
                Some(lease) => (lease.balance(), lease.is_known()),
                None => (nothing(), false),
            }
        })
    }

    /// Takes the database's answer on one of its leases.
    pub(super) fn apply(&mut self, id: &BudgetId, answer: Option<Answer>, at: SystemTime) {
        let Some(lease) = self.leases.iter_mut().find(|lease| lease.is(id)) else {
            return;
        };
        lease.apply(answer);
        let wanted = answer.map(|answer| answer.standing.wanted_limit());
        // Later windows begin with the limit of the last one.
        if lease.contains(at) && wanted == Some(lease.limit()) && !lease.is_told(&self.told) {
            self.told.push(lease.budget.clone());
        }
    }

    /// Makes the leases of `at`'s windows, with nothing in them, where they are missing; whether any was.
    pub(super) fn roll(&mut self, at: SystemTime, now: Instant) -> bool {
        let before = self.leases.len();
        for budget in &self.budgets {
            if !self.leases.iter().any(|lease| is_of(lease, budget, at)) {
                let mut lease = Lease::new(budget.clone(), at, now);
                lease.count(&self.under_way);
                self.leases.push(lease);
            }
        }
        self.leases.len() > before
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
    pub(super) fn refusal(&self, name: &str, amount: Money, at: SystemTime) -> Option<Error> {
        let balances = self.balances(at).map(|(balance, _)| balance);
        let tight = balances.min_by_key(Balance::room)?;
        tight
            .lacks_room(amount)
            .then(|| tight.refusal(name, amount, at))
    }

    /// Holds, and says whether that is written down.
    pub(super) fn hold(
        &mut self,
        name: &Arc<str>,
        hold: Hold,
        now: Instant,
        marks: &mut dyn Marks,
    ) -> bool {
        let mut written = true;
        self.under_way.hold(hold);
        for lease in self.current(hold.at) {
            lease.hold(hold.serial, hold.amount.nanos(), now);
            mark(name, lease, marks);
            written &= !lease.is_unmarked();
        }
        written
    }

    /// Whether anybody need know of it.
    pub(super) fn is_of_use(&self) -> bool {
        // One without a budget may still have a word in what becomes of calls.
        let speaks = self.on_down.is_some() || !self.budgets.is_empty();
        speaks || !self.leases.is_empty() || !self.under_way.is_empty()
    }
}

/// Whether it is the lease of `budget` over its window of `at`.
fn is_of(lease: &Lease, budget: &Budget, at: SystemTime) -> bool {
    lease.budget.window == budget.window && lease.contains(at)
}

fn is_current(lease: &Lease, budgets: &[Budget], at: SystemTime) -> bool {
    budgets.iter().any(|budget| is_of(lease, budget, at))
}

/// Whether no budget counts over its window any more.
pub(super) fn is_unused(lease: &Lease, budgets: &[Budget]) -> bool {
    !budgets.iter().any(|b| b.window == lease.budget.window)
}

pub(super) fn mark(name: &Arc<str>, lease: &mut Lease, marks: &mut dyn Marks) {
    let id = id(name, lease);
    lease.write(&id, marks);
}

pub(super) fn id(name: &Arc<str>, lease: &Lease) -> BudgetId {
    BudgetId {
        account: name.clone(),
        span: lease.span.clone(),
        start: lease.start,
    }
}
