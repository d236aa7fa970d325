//! Warns once when so many percent of a budget are spent: in the log, in a metric, and by a webhook. Posts there as well what the trace
//! has to say of a call that cost too much.
//!
//! Looked at when something is settled, and only then: a countdown per account, so that the book need not be asked each time. What
//! was told is remembered in memory, once per budget and window. A process that starts and finds a budget past its mark says
//! nothing: it was said before. Where processes share a budget, each of them says it.

mod alert;
mod gauge;
mod warning;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use foldhash::HashMap;
use rungs::{
    Error,
    catalog::Money,
    store::{Balance, Budgets, Hold, StoreFuture},
};

pub(crate) use self::alert::post_alert;
use self::gauge::{Gauge, Look};
use super::{Book, Terms};
use crate::webhook::Webhook;

/// How old may be what is known of a budget that other processes spend from as well.
const OTHERS: Duration = Duration::from_secs(5);

/// When and whom to warn.
#[derive(Debug, Clone, Default)]
pub(crate) struct WarnRules {
    /// At how many percent, for accounts that do not say.
    pub(crate) percent: Option<u8>,
    /// Who is told beside the log.
    pub(crate) webhook: Option<Webhook>,
}

/// A book whose settlements are looked at.
pub(super) struct Watched {
    book: Book,
    budgets: Arc<dyn Budgets>,
    gauges: RwLock<HashMap<Arc<str>, Arc<Gauge>>>,
    rules: ArcSwap<WarnRules>,
}

impl Watched {
    pub(super) fn new(book: Book) -> Self {
        Self {
            budgets: book.budgets(),
            book,
            gauges: RwLock::default(),
            rules: ArcSwap::default(),
        }
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// Other rules from now on.
    pub(super) fn set_rules(&self, rules: WarnRules) {
        self.rules.store(Arc::new(rules));
        let gauges = self.gauges.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = gauges
            .iter()
            .map(|(account, gauge)| (account.clone(), gauge.clone()))
            .collect();
        drop(gauges);
        for (account, gauge) in all {
            self.look(&account, &gauge);
        }
    }

    /// Watches an account whose budgets are in the book.
    pub(super) fn watch(&self, account: &str, terms: &Terms) {
        if terms.budgets.is_empty() {
            return self.forget(account);
        }
        let known = self.gauge(account);
        let is_new = known.is_none();
        let gauge = known.unwrap_or_default();
        gauge.set_percent(terms.warn_at);
        // At once: what the next settlement brings past a mark is news, what is past it now is not.
        self.look(account, &gauge);
        if !is_new {
            return;
        }
        let mut gauges = self.gauges.write().unwrap_or_else(PoisonError::into_inner);
        gauges.entry(account.into()).or_insert(gauge);
    }

    pub(super) fn forget(&self, account: &str) {
        let mut gauges = self.gauges.write().unwrap_or_else(PoisonError::into_inner);
        gauges.remove(account);
    }

    fn gauge(&self, account: &str) -> Option<Arc<Gauge>> {
        let gauges = self.gauges.read().unwrap_or_else(PoisonError::into_inner);
        gauges.get(account).cloned()
    }

    fn look(&self, account: &str, gauge: &Gauge) {
        let rules = self.rules.load();
        // The time before the balances: a window that turns in between is looked at again.
        let now = SystemTime::now();
        let look = Look {
            default: rules.percent,
            now,
            again: match self.book {
                Book::Own(_) => None,
                Book::Shared(_) => Some(now + OTHERS),
            },
        };
        for warning in gauge.look(&look, || self.book.known(account)) {
            warning.tell(account, rules.webhook.as_ref());
        }
    }
}

impl Budgets for Watched {
    fn hold(&self, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Error> {
        self.budgets.hold(accounts, amount)
    }

    fn wait<'a>(
        &'a self,
        accounts: &'a [Arc<str>],
        amount: Money,
    ) -> Option<StoreFuture<'a, Hold>> {
        self.budgets.wait(accounts, amount)
    }

    fn settle(&self, accounts: &[Arc<str>], hold: Hold, spent: Money) {
        self.budgets.settle(accounts, hold, spent);
        for account in accounts {
            if let Some(gauge) = self.gauge(account)
                && gauge.has_to_look(spent, hold.at)
            {
                self.look(account, &gauge);
            }
        }
    }

    fn balance(&self, account: &str) -> Option<Balance> {
        self.budgets.balance(account)
    }
}

#[cfg(test)]
mod tests;
