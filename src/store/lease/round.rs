//! A round of questions to the database, and how it decides them. Both sides of the talk, without the talk.

use std::{collections::BTreeMap, time::SystemTime};

use super::{BudgetId, Standing};

/// What a holder says of a budget.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) id: BudgetId,
    pub(crate) end: Option<SystemTime>,
    /// Since when the holder counts what it uses. What began earlier was not held from this lease.
    pub(crate) began: SystemTime,
    /// What the lease is to be at most before anything is granted: the rest goes back.
    pub(crate) keep: i64,
    /// What is held and what was spent since then, or may be found to be.
    pub(crate) used: i64,
    /// What it should have free for calls to come.
    pub(crate) slice: i64,
    /// The limit as the holder knows it: of a budget that is not known yet, and what this holder keeps to.
    pub(crate) limit: i64,
    /// Whether the limit is news, and replaces another.
    pub(crate) announce: bool,
}

impl Ask {
    /// Whether the holder has begun to count after it `had` a lease, if it had one: it has done with that.
    pub(crate) fn is_anew(&self, had: Option<&Granted>) -> bool {
        had.is_none_or(|had| had.began < self.began)
    }
}

/// A call that waits: which of the asked budgets must have how much free for it. No budget is named twice.
pub(crate) type Need = BTreeMap<usize, i64>;

/// What goes into one transaction.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) asks: Vec<Ask>,
    /// In the order in which they came.
    pub(crate) needs: Vec<Need>,
}

/// A holder's lease as the database has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    /// What began earlier was not held from it.
    pub(crate) began: SystemTime,
    /// All that was granted, less what was given back.
    pub(crate) size: i64,
    /// The part of it that has arrived as spending.
    pub(crate) spent: i64,
    /// What has arrived of calls that were held from it and that it could not pay for.
    pub(crate) beyond: i64,
}

impl Granted {
    /// A lease with nothing in it, of which `arrived` is spent already.
    fn nothing(began: SystemTime, arrived: i64) -> Self {
        Self {
            began,
            size: 0,
            spent: 0,
            beyond: arrived,
        }
    }

    /// Takes what a call has cost; how much of it had been granted.
    pub(crate) fn take(&mut self, nanos: i64) -> i64 {
        let leased = nanos.min(self.size - self.spent);
        self.spent += leased;
        self.beyond += nanos - leased;
        leased
    }
}

/// A budget and a lease on it while a round is decided.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) standing: Standing,
    pub(crate) lease: Granted,
    /// Whether its window is that of now.
    pub(crate) open: bool,
    /// Whether a call waits for what others have of it.
    pub(crate) starving: bool,
    /// What the holder keeps to.
    limit: i64,
    free: i64,
}

impl Line {
    /// A budget and the lease that the holder `had` on it, as `ask` finds them. If the holder counts anew, `arrived` is what has
    /// arrived already of what it counts.
    pub(crate) fn new(
        mut standing: Standing,
        had: Option<Granted>,
        open: bool,
        ask: &Ask,
        arrived: i64,
    ) -> Self {
        let mut lease = Granted::nothing(ask.began, arrived);
        match had {
            Some(had) if ask.is_anew(Some(&had)) => standing.give_back(had.size - had.spent),
            Some(had) => {
                lease = Granted {
                    began: ask.began,
                    ..had
                }
            }
            None => {}
        }
        Self {
            standing,
            lease,
            open,
            starving: false,
            limit: ask.limit,
            free: 0,
        }
    }

    /// What the holder is told.
    pub(crate) fn answer(&self, round: u64) -> Answer {
        Answer {
            standing: self.standing,
            size: self.lease.size,
            shipped: self.lease.spent,
            beyond: self.lease.beyond,
            open: self.open,
            round,
        }
    }

    /// What others have of the budget.
    pub(crate) fn others(&self) -> i64 {
        self.standing.granted - (self.lease.size - self.lease.spent)
    }

    fn take_back(&mut self, ask: &Ask) {
        if ask.announce && self.standing.wanted_limit() != ask.limit {
            self.standing.set_limit(ask.limit);
        }
        let size = ask.keep.max(self.lease.spent).min(self.lease.size);
        self.standing.give_back(self.lease.size - size);
        self.lease.size = size;
        // What has arrived is used, whatever the holder says.
        self.free = size - (ask.used - self.lease.beyond).max(self.lease.spent);
    }

    fn room(&self) -> i64 {
        self.standing.room_under(self.limit).max(0)
    }

    fn lacks(&self, nanos: i64) -> i64 {
        match nanos {
            // A call that costs nothing may be made whatever was spent.
            0 => 0,
            _ => nanos.saturating_sub(self.free).max(0),
        }
    }

    fn grant(&mut self, nanos: i64) {
        self.standing.granted += nanos;
        self.lease.size += nanos;
        self.free += nanos;
    }
}

/// What the database says of a budget and of a holder's lease on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) standing: Standing,
    /// The lease: all that was granted, less what was given back.
    pub(crate) size: i64,
    /// How much of it has arrived as spending.
    pub(crate) shipped: i64,
    /// What has arrived beyond it.
    pub(crate) beyond: i64,
    /// Whether the budget's window is that of now.
    pub(crate) open: bool,
    /// Counts the rounds of questions.
    pub(crate) round: u64,
}

impl Questions {
    /// Decides the round, with `replicas` holders in mind; a line per ask, `None` for a budget that is not there.
    ///
    /// What goes back goes first. Then each call gets what it lacks of all its budgets, or nothing: with a part of it, two holders
    /// could each have what the other waits for. What is left beyond that is granted in slices that leave enough for others.
    pub(crate) fn decide(&self, lines: &mut [Option<Line>], replicas: i64) {
        for (ask, line) in self.asks.iter().zip(lines.iter_mut()) {
            if let Some(line) = line {
                line.take_back(ask);
            }
        }
        for need in &self.needs {
            let line = |at: &usize| lines.get(*at).and_then(Option::as_ref);
            if !need.keys().all(|at| line(at).is_some_and(|line| line.open)) {
                continue;
            }
            let fits = |line: &Line, nanos| line.lacks(nanos) <= line.room();
            let mut budgets = need.iter();
            let granted = budgets.all(|(at, nanos)| line(at).is_some_and(|l| fits(l, *nanos)));
            for (at, &nanos) in need {
                if let Some(Some(line)) = lines.get_mut(*at) {
                    if granted {
                        line.grant(line.lacks(nanos));
                        line.free -= nanos;
                    } else {
                        line.starving |= !fits(line, nanos);
                    }
                }
            }
        }
        for (ask, line) in self.asks.iter().zip(lines.iter_mut()) {
            if let Some(line) = line
                && line.open
                && !line.starving
            {
                let fair = line.room() / (4 * replicas.max(1));
                let lacking = ask.slice - line.free.max(0);
                line.grant(lacking.clamp(0, fair));
            }
        }
    }
}
