use std::sync::Arc;

use rungs::{
    Error,
    store::{AccountBalance, Balance, Budgets, memory::MemoryBudgets, postgres::LeasedBudgets},
};

/// The budgets in force: of this process alone, or leased from a database that several share.
#[derive(Clone)]
pub(crate) enum Book {
    Own(Arc<MemoryBudgets>),
    Shared(Arc<LeasedBudgets>),
}

impl Book {
    /// For the layers.
    pub(crate) fn budgets(&self) -> Arc<dyn Budgets> {
        match self {
            Self::Own(book) => book.clone(),
            Self::Shared(book) => book.clone(),
        }
    }

    pub(super) fn forget(&self, account: Arc<str>) {
        match self {
            Self::Own(book) => book.set(account, Vec::new()),
            Self::Shared(book) => book.set(account, Vec::new(), None),
        }
    }

    /// One balance per budget, and whether it is known how that stands.
    pub(super) fn known(&self, account: &str) -> Vec<(Balance, bool)> {
        match self {
            Self::Own(book) => {
                let balances = book.balances(account).into_iter();
                balances.map(|balance| (balance, true)).collect()
            }
            Self::Shared(book) => book.known(account),
        }
    }

    /// How accounts stand, one balance per budget, for somebody who wants to know: what others have spent as well.
    pub(crate) async fn stand(&self, accounts: &[Arc<str>]) -> Result<Vec<AccountBalance>, Error> {
        match self {
            Self::Own(book) => {
                let all = accounts.iter().flat_map(|account| {
                    let balances = book.balances(account).into_iter();
                    balances.map(|balance| AccountBalance {
                        account: Arc::clone(account),
                        balance,
                        is_stale: false,
                    })
                });
                Ok(all.collect())
            }
            Self::Shared(book) => book.stand(accounts).await,
        }
    }

    pub(crate) fn accounts(&self) -> Vec<Arc<str>> {
        match self {
            Self::Own(book) => book.accounts(),
            Self::Shared(book) => book.accounts(),
        }
    }

    #[cfg(test)]
    pub(crate) fn balances(&self, account: &str) -> Vec<Balance> {
        let known = self.known(account).into_iter();
        known.map(|(balance, _)| balance).collect()
    }
}
