use std::{sync::Arc, time::SystemTime};

use rungs::{
    Error,
    store::{Budget, Budgets, Durability, Ledger, Window, memory::MemoryBudgets},
};

use super::{
    Book, Terms,
    watch::{WarnRules, Watched},
};

/// Sets the budgets of an account when it is dropped: a client that leaves while its account is opened leaves it as it was.
struct PutBack<'a> {
    book: &'a MemoryBudgets,
    account: &'a str,
    budgets: Vec<Budget>,
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        let budgets = std::mem::take(&mut self.budgets);
        self.book.set(self.account, budgets);
    }
}

/// Budgets in force, which begin with what the ledger says was spent.
pub(crate) struct Accounts {
    watched: Arc<Watched>,
    ledger: Arc<dyn Ledger>,
    /// Held while an account is opened: two calls with a new key must not both put what was spent into the book.
    opening: tokio::sync::Mutex<()>,
}

impl Accounts {
    pub(crate) fn new(book: Book, ledger: Arc<dyn Ledger>) -> Self {
        Self {
            watched: Arc::new(Watched::new(book)),
            ledger,
            opening: tokio::sync::Mutex::default(),
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

    /// Puts an account's terms into the book, unless they are there. No call may use an account before that.
    pub(crate) async fn open(&self, account: &str, terms: &Terms) -> Result<(), Error> {
        match self.book() {
            Book::Own(book) => self.open_own(book, account, &terms.budgets).await?,
            // The database knows what was spent.
            Book::Shared(book) => book.set(account, terms.budgets.clone(), terms.on_store_down),
        }
        self.watched.watch(account, terms);
        Ok(())
    }

    async fn open_own(
        &self,
        book: &MemoryBudgets,
        account: &str,
        budgets: &[Budget],
    ) -> Result<(), Error> {
        let _alone = self.opening.lock().await;
        let old = book.balances(account);
        let old: Vec<Budget> = old.into_iter().map(|balance| balance.budget).collect();
        if old == budgets {
            return Ok(());
        }
        let known = |window: &Window| old.iter().any(|budget| budget.window == *window);
        let new = budgets.iter().filter(|budget| !known(&budget.window));
        // Both are in force until what was spent is known. What is settled meanwhile may count twice: never less than once.
        let both = old.iter().chain(new.clone()).cloned();
        book.set(account, both.collect());
        let mut unless_known = PutBack {
            book,
            account,
            budgets: old.clone(),
        };
        self.restore(book, account, new).await?;
        unless_known.budgets = budgets.to_vec();
        Ok(())
    }

    async fn restore(
        &self,
        book: &MemoryBudgets,
        account: &str,
        new: impl Iterator<Item = &Budget>,
    ) -> Result<(), Error> {
        if let Some(safe) = self.ledger.survives(Durability::PowerLoss) {
            safe.await?;
        }
        for Budget { window, .. } in new {
            loop {
                let since = window.start(SystemTime::now());
                let posted = self.ledger.spent(account, since).await?;
                // At the turn of a window the sum may be the one before's.
                if window.start(SystemTime::now()) == since {
                    book.seed(account, window, posted);
                    break;
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
