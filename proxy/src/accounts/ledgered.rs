use std::{collections::BTreeMap, sync::Arc};

use rungs::{
    Error,
    store::{Budget, Budgets, Ledger, Window, memory::MemoryBudgets},
};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    Book, Terms,
    watch::{WarnRules, Watched},
};

/// An account whose budgets change. Sets `then` when it is dropped: who leaves before all is known leaves it as it was.
struct Change<'a> {
    book: &'a MemoryBudgets,
    account: Arc<str>,
    then: Vec<Budget>,
    new: Vec<Budget>,
}

impl Change<'_> {
    /// Budgets over windows that the account had none over.
    fn added(&self) -> impl Iterator<Item = &Budget> {
        let known = |window: &Window| self.then.iter().any(|budget| budget.window == *window);
        self.new.iter().filter(move |budget| !known(&budget.window))
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let budgets = std::mem::take(&mut self.then);
        self.book.set(Arc::clone(&self.account), budgets);
    }
}

/// Accounts that are about to have other terms: until it is committed the old ones are in force, and new budgets over windows that had
/// none beside them. Dropped, it leaves everything as it was. Nobody else opens an account meanwhile, but of users apart from all others.
pub(crate) struct Opening<'a> {
    accounts: &'a Accounts,
    wanted: BTreeMap<Arc<str>, Terms>,
    /// In a book of this process alone.
    changes: Vec<Change<'a>>,
    _alone: MutexGuard<'a, ()>,
}

impl Opening<'_> {
    /// Puts the new terms in force.
    pub(crate) fn commit(mut self) {
        for change in &mut self.changes {
            change.then = std::mem::take(&mut change.new);
        }
        self.changes.clear();
        for (account, terms) in &self.wanted {
            if let Book::Shared(book) = self.accounts.book() {
                // The database knows what was spent.
                let budgets = terms.budgets.clone();
                book.set(Arc::clone(account), budgets, terms.on_store_down);
            }
            self.accounts.watched.watch(account, terms);
        }
    }
}

/// Budgets in force, which begin with what the ledger says was spent.
pub(crate) struct Accounts {
    watched: Arc<Watched>,
    ledger: Arc<dyn Ledger>,
    /// Held while an account is opened: two calls with a new key must not both put what was spent into the book.
    opening: Mutex<()>,
    /// The same for users, of whom many may come at once: nobody else waits behind them.
    opening_users: Mutex<()>,
}

impl Accounts {
    pub(crate) fn new(book: Book, ledger: Arc<dyn Ledger>) -> Self {
        Self {
            watched: Arc::new(Watched::new(book)),
            ledger,
            opening: Mutex::default(),
            opening_users: Mutex::default(),
        }
    }

    /// The budgets in force.
    pub(crate) fn book(&self) -> &Book {
        self.watched.book()
    }

    /// The same for the layers: what they settle is looked at, and somebody may be warned.
    pub(crate) fn budgets(&self) -> Arc<dyn Budgets> {
        self.watched.clone()
    }

    /// When and whom to warn from now on.
    pub(crate) fn warn(&self, rules: WarnRules) {
        self.watched.set_rules(rules);
    }

    /// Puts the terms of a user's account into the book, unless they are there. No call may use an account before that.
    pub(crate) async fn open(&self, account: &str, terms: &Terms) -> Result<(), Error> {
        let wanted = BTreeMap::from([(account.into(), terms.clone())]);
        let alone = self.opening_users.lock().await;
        self.prepare_alone(wanted, alone).await?.commit();
        Ok(())
    }

    /// Finds out what is to be known before the accounts, none of them a user's, can have these terms.
    pub(crate) async fn prepare(
        &self,
        wanted: BTreeMap<Arc<str>, Terms>,
    ) -> Result<Opening<'_>, Error> {
        let alone = self.opening.lock().await;
        self.prepare_alone(wanted, alone).await
    }

    async fn prepare_alone<'a>(
        &'a self,
        wanted: BTreeMap<Arc<str>, Terms>,
        alone: MutexGuard<'a, ()>,
    ) -> Result<Opening<'a>, Error> {
        let mut opening = Opening {
            accounts: self,
            wanted,
            changes: Vec::new(),
            _alone: alone,
        };
        let Book::Own(book) = self.book() else {
            return Ok(opening);
        };
        for (account, terms) in &opening.wanted {
            let old = book.balances(account);
            let old: Vec<Budget> = old.into_iter().map(|balance| balance.budget).collect();
            if old == terms.budgets {
                continue;
            }
            let change = Change {
                book,
                account: Arc::clone(account),
                then: old,
                new: terms.budgets.clone(),
            };
            // Both are in force until what was spent is known. What is settled meanwhile may count twice: never less than once.
            let both = change.then.iter().chain(change.added());
            book.set(Arc::clone(account), both.cloned().collect());
            opening.changes.push(change);
        }
        self.restore(&opening.changes).await?;
        Ok(opening)
    }

    async fn restore(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        if changes.iter().all(|change| change.added().next().is_none()) {
            return Ok(());
        }
        for change in changes {
            for Budget { window, .. } in change.added() {
                loop {
                    // By the time of the book, which rows of this process have too. Rows of a clock that was ahead are of windows to come.
                    let (since, until) = window.span(change.book.now());
                    let spent = self.ledger.spent(&change.account, since, until);
                    let posted = spent.await?;
                    // At the turn of a window the sum may be the one before's.
                    if window.start(change.book.now()) == since {
                        change.book.seed(&change.account, window, posted);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Forgets an account. What it has spent is on the ledger.
    pub(crate) fn forget(&self, account: Arc<str>) {
        self.watched.forget(&account);
        self.book().forget(account);
    }

    /// Forgets the accounts that `keep` does not want.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        for account in self.book().accounts() {
            if !keep(&account) {
                self.forget(account);
            }
        }
    }
}
