use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Ask, Book, BudgetId, Need, Questions,
    account::{Account, id},
};

/// The budgets of one transaction.
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
}

/// What there is to ask, and to give back.
impl Book {
    /// Begins a round of questions, about the budgets of all accounts or of those alone that are in a hurry. Says which round it is.
    /// Rows of the ledger are `written` up to there.
    pub(crate) fn ask(
        &mut self,
        which: Which,
        clock: SystemTime,
        now: Instant,
        written: u64,
    ) -> (u64, Vec<Questions>) {
        self.rounds += 1;
        let at = self.time(clock);
        let hot = std::mem::take(&mut self.hot);
        let waiting = self.queue.iter().flat_map(|call| call.accounts.iter());
        let wanted: HashSet<Arc<str>> = waiting.cloned().collect();
        let (names, idle): (Vec<_>, _) = match which {
            Which::Hot => (hot.union(&wanted).cloned().collect(), Duration::MAX),
            Which::All { idle } => (self.accounts.keys().cloned().collect(), idle),
        };
        let mut due = BTreeSet::new();
        for name in &names {
            let Some(account) = self.accounts.get_mut(name) else {
                continue;
            };
            account.roll(at, now);
            let Account {
                budgets, leases, ..
            } = account;
            for lease in leases {
                lease.prove(written);
                let unused = !budgets.iter().any(|b| b.window == lease.budget.window);
                let wanted = !unused && lease.contains(at) && wanted.contains(name);
                if lease.is_due((unused, wanted), idle, at, now) {
                    due.insert(id(name, lease));
                }
            }
        }
        (self.rounds, self.questions(due, at, now))
    }

    /// Gives back all that is free, because the process ends.
    pub(crate) fn give_all_back(&mut self, now: Instant, written: u64) -> (u64, Vec<Questions>) {
        self.rounds += 1;
        let mut due = BTreeSet::new();
        for (name, account) in &mut self.accounts {
            for lease in &mut account.leases {
                lease.prove(written);
                if lease.give_back() < lease.size() {
                    due.insert(id(name, lease));
                }
            }
        }
        let questions = due.into_iter().filter_map(|id| self.question(&id, now));
        let asks = questions.collect();
        let needs = Vec::new();
        (self.rounds, vec![Questions { asks, needs }])
    }

    /// All budgets of a call are in one transaction, the first. Those of calls that it has no place for wait for the next round.
    fn questions(
        &mut self,
        mut due: BTreeSet<BudgetId>,
        at: SystemTime,
        now: Instant,
    ) -> Vec<Questions> {
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
        due.retain(|id| !first.contains(id));
        let first: Vec<_> = first.into_iter().collect();
        let need = |(ids, nanos): (Vec<BudgetId>, i64)| {
            let mut need = Need::new();
            for at in ids.iter().filter_map(|id| first.binary_search(id).ok()) {
                *need.entry(at).or_insert(0) += nanos;
            }
            need
        };
        let needs = calls.into_iter().map(need).collect();
        let mut asks = |ids: &[BudgetId]| -> Vec<Ask> {
            let asks = ids.iter().filter_map(|id| self.question(id, now));
            asks.collect()
        };
        let mut all = vec![Questions {
            asks: asks(&first),
            needs,
        }];
        let due: Vec<_> = due.into_iter().collect();
        all.extend(due.chunks(BATCH).map(|ids| Questions {
            asks: asks(ids),
            needs: Vec::new(),
        }));
        all.retain(|questions| !questions.asks.is_empty());
        all
    }

    /// The budgets of an account that a call at `at` is held from.
    fn ids(&self, name: &Arc<str>, at: SystemTime) -> impl Iterator<Item = BudgetId> {
        let account = self.accounts.get(name).into_iter();
        account.flat_map(move |account| account.ids(name, at))
    }

    fn question(&mut self, id: &BudgetId, now: Instant) -> Option<Ask> {
        let lease = self.lease(id)?;
        Some(Ask {
            id: id.clone(),
            end: lease.end(),
            keep: lease.keep(),
            used: lease.tied(),
            slice: lease.slice(now),
            limit: lease.limit(),
            announce: lease.announces(),
        })
    }
}
