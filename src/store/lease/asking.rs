use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Ask, Book, BudgetId, Need, Questions,
    account::{Account, id, is_unused},
};

/// The budgets of one transaction: so many for calls that wait, and so many others.
const BATCH: usize = 100;

/// Which leases to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that somebody waits for, or runs out of.
    Hot,
    /// All; what has not moved for `idle` goes back.
    All {
        /// How long money may lie here.
        idle: Duration,
    },
    /// All, and all that is free goes back: the process ends.
    Leaving,
}

/// What there is to ask, and to give back.
impl Book {
    /// Begins a round: looks at some leases, and asks about the budgets that calls wait for, and as many of the others as fit into one
    /// transaction. The rest is due in the rounds to come. Rows of the ledger are `written` up to there. Says which round it is.
    pub(crate) fn ask(
        &mut self,
        which: Which,
        clock: SystemTime,
        now: Instant,
        written: u64,
    ) -> (u64, Questions) {
        self.rounds += 1;
        self.leaving |= which == Which::Leaving;
        let at = self.time(clock);
        let hot = std::mem::take(&mut self.hot);
        let waiting = self.queue.iter().flat_map(|call| call.accounts.iter());
        let wanted: HashSet<Arc<str>> = waiting.cloned().collect();
        for name in &wanted {
            // The window may have turned since they came.
            self.roll(name, at, now);
        }
        let names: Vec<_> = match which {
            Which::Hot => hot.union(&wanted).cloned().collect(),
            Which::All { .. } | Which::Leaving => self.leased.iter().cloned().collect(),
        };
        let idle = match which {
            Which::Hot => Duration::MAX,
            Which::All { idle } => idle,
            Which::Leaving => Duration::ZERO,
        };
        for name in &names {
            let Some(account) = self.accounts.get_mut(name) else {
                continue;
            };
            let Account {
                budgets,
                leases,
                told,
                ..
            } = account;
            for lease in leases {
                lease.prove(written);
                let unused = is_unused(lease, budgets);
                let wanted = !unused && lease.contains(at) && wanted.contains(name);
                let news = !unused && lease.contains(at) && !lease.is_told(told);
                if lease.is_due((unused, wanted), idle, at, now) || news {
                    self.due.insert(id(name, lease));
                }
            }
        }
        (self.rounds, self.questions(at, now))
    }

    /// Whether there is more to ask than went into the last round.
    pub(crate) fn is_behind(&self) -> bool {
        !self.due.is_empty()
    }

    /// All budgets of a call are in one transaction. Those of calls that it has no place for wait for the next round.
    fn questions(&mut self, at: SystemTime, now: Instant) -> Questions {
        let mut first = BTreeSet::new();
        let mut calls = Vec::new();
        for call in self.queue.iter() {
            let ids: Vec<_> = call.accounts.iter().flat_map(|n| self.ids(n, at)).collect();
            if !calls.is_empty() && first.len() + ids.len() > BATCH {
                break;
            }
            first.extend(ids.iter().cloned());
            calls.push((ids, call.amount.nanos()));
        }
        self.due.retain(|id| !first.contains(id));
        first.extend((0..BATCH).map_while(|_| self.due.pop_first()));
        let first: Vec<_> = first.into_iter().collect();
        let asks: Vec<_> = first
            .iter()
            .filter_map(|id| self.question(id, at, now))
            .collect();
        let need = |(ids, nanos): (Vec<BudgetId>, i64)| {
            let mut need = Need::new();
            for at in ids
                .iter()
                .filter_map(|id| asks.binary_search_by(|ask| ask.id.cmp(id)).ok())
            {
                *need.entry(at).or_insert(0) += nanos;
            }
            need
        };
        let needs = calls.into_iter().map(need).collect();
        Questions { asks, needs }
    }

    /// The budgets of an account that a call at `at` is held from.
    fn ids(&self, name: &Arc<str>, at: SystemTime) -> impl Iterator<Item = BudgetId> {
        let account = self.accounts.get(name).into_iter();
        account.flat_map(move |account| account.ids(name, at))
    }

    fn question(&mut self, id: &BudgetId, at: SystemTime, now: Instant) -> Option<Ask> {
        let leaving = self.leaving;
        let account = self.accounts.get_mut(&id.account)?;
        let lease = account.leases.iter_mut().find(|lease| lease.is(id))?;
        lease.ask();
        Some(Ask {
            id: id.clone(),
            end: lease.end(),
            began: lease.began,
            keep: lease.keep(),
            used: lease.used(),
            slice: match leaving {
                // Nobody would give it back.
                true => 0,
                false => lease.slice(now),
            },
            limit: lease.limit(),
            announce: lease.contains(at)
                && !is_unused(lease, &account.budgets)
                && !lease.is_told(&account.told),
        })
    }
}
