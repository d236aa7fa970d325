use std::time::SystemTime;

use foldhash::HashMap;

use crate::{
    catalog::Money,
    store::{Balance, Budget, Hold, Window},
};

/// One account of a book: its budgets, what counts towards them, and what is under way.
#[derive(Default)]
pub(super) struct Account {
    budgets: Vec<Budget>,
    /// One per window of the budgets.
    counters: Vec<Counter>,
    /// What is held, by the serial of its hold: a budget that comes later is still to know what is under way.
    open: HashMap<u64, (SystemTime, Money)>,
}

struct Counter {
    window: Window,
    since: SystemTime,
    until: Option<SystemTime>,
    posted: Money,
    reserved: Money,
}

impl Account {
    /// Replaces the budgets. A window that was counted over goes on; a new one knows what is held, and nothing of what was spent.
    pub(super) fn set(&mut self, budgets: Vec<Budget>, now: SystemTime) {
        self.counters
            .retain(|counter| budgets.iter().any(|b| b.window == counter.window));
        for Budget { window, .. } in &budgets {
            if !self.counters.iter().any(|c| c.window == *window) {
                let mut counter = Counter::new(window.clone(), now);
                let open = self.open.values();
                let held = open.filter(|(at, _)| *at >= counter.since);
                counter.reserved = held.map(|(_, amount)| *amount).sum();
                self.counters.push(counter);
            }
        }
        self.budgets = budgets;
    }

    /// Adds what was spent in the window of now before it was counted.
    pub(super) fn seed(&mut self, window: &Window, posted: Money) {
        if let Some(counter) = self.counters.iter_mut().find(|c| c.window == *window) {
            counter.posted += posted;
        }
    }

    /// Begins anew what has ended by `now`. What is held then belongs to a window that is over.
    pub(super) fn roll(&mut self, now: SystemTime) {
        for counter in &mut self.counters {
            if counter.until.is_some_and(|until| until <= now) {
                *counter = Counter::new(counter.window.clone(), now);
            }
        }
    }

    pub(super) fn has_budgets(&self) -> bool {
        !self.budgets.is_empty()
    }

    /// Whether there is nothing to know of it.
    pub(super) fn is_idle(&self) -> bool {
        self.budgets.is_empty() && self.open.is_empty()
    }

    pub(super) fn balances(&self) -> impl Iterator<Item = Balance> {
        self.budgets.iter().map(|budget| {
            let counter = self.counters.iter().find(|c| c.window == budget.window);
            Balance {
                budget: budget.clone(),
                posted: counter.map_or(Money::ZERO, |c| c.posted),
                reserved: counter.map_or(Money::ZERO, |c| c.reserved),
            }
        })
    }

    /// The first budget that cannot take `amount`.
    pub(super) fn tight(&self, amount: Money) -> Option<Balance> {
        self.balances().find(|balance| balance.lacks_room(amount))
    }

    pub(super) fn reserve(&mut self, hold: Hold) {
        for counter in &mut self.counters {
            counter.reserved += hold.amount;
        }
        // An account that is named twice holds twice.
        let held = self
            .open
            .entry(hold.serial)
            .or_insert((hold.at, Money::ZERO));
        held.1 += hold.amount;
    }

    /// A hold of before the account was known reserves nothing here, but what it has cost counts.
    pub(super) fn settle(&mut self, hold: Hold, spent: Money) {
        let held = self.open.remove(&hold.serial);
        let held = held.map_or(Money::ZERO, |(_, amount)| amount);
        let current = self.counters.iter_mut().filter(|c| c.since <= hold.at);
        for counter in current {
            counter.reserved = counter.reserved - held;
            counter.posted += spent;
        }
    }

    /// Takes back what `reserve` did once.
    pub(super) fn take_back(&mut self, hold: Hold) {
        let Some(held) = self.open.get_mut(&hold.serial) else {
            return;
        };
        held.1 = held.1 - hold.amount;
        if held.1.is_zero() {
            self.open.remove(&hold.serial);
        }
        for counter in &mut self.counters {
            counter.reserved = counter.reserved - hold.amount;
        }
    }
}

impl Counter {
    fn new(window: Window, now: SystemTime) -> Self {
        let (since, until) = window.span(now);
        Self {
            window,
            since,
            until,
            posted: Money::ZERO,
            reserved: Money::ZERO,
        }
    }
}
