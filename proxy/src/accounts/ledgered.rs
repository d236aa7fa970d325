use std::{sync::Arc, time::SystemTime};

use rungs::{
    Error,
    store::{Budget, Ledger, Window, memory::MemoryBudgets},
};

/// Budgets in force, which begin with what the ledger says was spent.
pub(crate) struct Accounts {
    book: Arc<MemoryBudgets>,
    ledger: Arc<dyn Ledger>,
    /// Held while an account is opened: two calls with a new key must not both put what was spent into the book.
    opening: tokio::sync::Mutex<()>,
}

impl Accounts {
    pub(crate) fn new(book: Arc<MemoryBudgets>, ledger: Arc<dyn Ledger>) -> Self {
        Self {
            book,
            ledger,
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// The budgets in force.
    pub(crate) fn book(&self) -> &Arc<MemoryBudgets> {
        &self.book
    }

    /// Puts an account's budgets into the book, unless they are there. No call may use an account before that.
    pub(crate) async fn open(&self, account: &str, budgets: &[Budget]) -> Result<(), Error> {
        let _alone = self.opening.lock().await;
        let old = self.book.balances(account);
        let old: Vec<Budget> = old.into_iter().map(|balance| balance.budget).collect();
        if old == budgets {
            return Ok(());
        }
        let known = |window: &Window| old.iter().any(|budget| budget.window == *window);
        let new = budgets.iter().filter(|budget| !known(&budget.window));
        // Both are in force until what was spent is known. What is settled meanwhile may count twice: never less than once.
        let both = old.iter().chain(new.clone()).cloned();
        self.book.set(account, both.collect());
        match self.restore(account, new).await {
            Ok(()) => {
                self.book.set(account, budgets.to_vec());
                Ok(())
            }
            Err(error) => {
                self.book.set(account, old);
                Err(error)
            }
        }
    }

    async fn restore(
        &self,
        account: &str,
        new: impl Iterator<Item = &Budget>,
    ) -> Result<(), Error> {
        self.ledger.flush().await?;
        for Budget { window, .. } in new {
            loop {
                let since = window.start(SystemTime::now());
                let posted = self.ledger.spent(account, since).await?;
                // At the turn of a window the sum may be the one before's.
                if window.start(SystemTime::now()) == since {
                    self.book.seed(account, window, posted);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Forgets the accounts that `keep` does not want.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        for account in self.book.accounts() {
            if !keep(&account) {
                self.book.set(account, Vec::new());
            }
        }
    }
}
