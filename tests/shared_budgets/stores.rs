use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use rungs::{
    ErrorKind,
    catalog::Money,
    store::{
        Budget, Budgets, Durability, Ledger, LedgerSink, OnStoreDown,
        journal::Journal,
        memory::MemoryBudgets,
        postgres::{LeaseTerms, LeasedBudgets, PostgresStore},
        sqlite::SqliteStore,
    },
};
use tokio::time::sleep;

use crate::part::{Calls, Part, Stands};

/// What a process keeps its money in, put together as the gateway does.
pub(crate) struct Stores {
    pub(crate) journal: Arc<Journal>,
    pub(crate) sink: Arc<dyn LedgerSink>,
    database: Database,
}

enum Database {
    File(Arc<SqliteStore>, Arc<MemoryBudgets>),
    Shared(Arc<LeasedBudgets>),
}

impl Stores {
    pub(crate) async fn open(part: &Part) -> Self {
        let budgets =
            [("key:k", part.limit), ("global", part.limit * 10)].map(|(account, limit)| {
                let budget = format!("{}/total", Money::from_nanos(limit));
                (account, budget.parse().expect("a budget"))
            });
        match part.url.starts_with("sqlite:") {
            true => Self::of_file(part, budgets).await,
            false => Self::shared(part, budgets).await,
        }
    }

    async fn of_file(part: &Part, budgets: [(&str, Budget); 2]) -> Self {
        let store = SqliteStore::open(&part.url).await.expect("a file");
        let store = Arc::new(store);
        let journal = journal(part, store.clone()).await;
        let book = Arc::new(MemoryBudgets::new());
        if let Some(safe) = journal.survives(Durability::PowerLoss) {
            safe.await.expect("it is written");
        }
        for (account, budget) in budgets {
            let posted = journal
                .spent(account, UNIX_EPOCH, None)
                .await
                .expect("a sum");
            book.set(account, vec![budget.clone()]);
            book.seed(account, &budget.window, posted);
        }
        Self {
            journal,
            sink: store.clone(),
            database: Database::File(store, book),
        }
    }

    async fn shared(part: &Part, budgets: [(&str, Budget); 2]) -> Self {
        let store = PostgresStore::new(&part.url, 4).expect("a URL");
        while store.connect().await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
        let terms = LeaseTerms {
            folder: Some(part.folder.clone()),
            // On a busy computer a hundred calls at once take a while to be told apart.
            patience: Duration::from_millis(match part.calls {
                Calls::AtOnce => 1_500,
                Calls::Random => 250,
            }),
            ..LeaseTerms::default()
        };
        let leased = Arc::new(LeasedBudgets::open(&store, terms).expect("leases"));
        let sink = Arc::new(store.ledger(leased.holder()));
        let journal = journal(part, sink.clone()).await;
        journal.flush().await.expect("it is written");
        leased.recorded_by(journal.clone());
        leased.replayed();
        for (account, budget) in budgets {
            leased.set(account, vec![budget], OnStoreDown::Closed);
        }
        Self {
            journal,
            sink,
            database: Database::Shared(leased),
        }
    }

    pub(crate) fn book(&self) -> Arc<dyn Budgets> {
        match &self.database {
            Database::File(_, book) => book.clone(),
            Database::Shared(leased) => leased.clone(),
        }
    }

    /// What is known to have been spent, where this process alone knows it.
    pub(crate) fn begins_with(&self) -> Option<Money> {
        match &self.database {
            Database::File(_, book) => Some(book.balance("key:k")?.posted),
            Database::Shared(_) => None,
        }
    }

    /// Brings everything home. Returns how a book in memory stands.
    pub(crate) async fn close(self) -> Vec<Stands> {
        // Rows that a database is away for stay in the journal; here they are waited for.
        self.journal.flush().await.expect("it is written");
        self.journal.close().await;
        match self.database {
            Database::File(store, book) => {
                store.close().await.expect("it is closed");
                book.accounts().iter().map(|a| stands(&book, a)).collect()
            }
            Database::Shared(leased) => {
                while leased.close().await.is_err() {
                    sleep(Duration::from_millis(50)).await;
                }
                Vec::new()
            }
        }
    }
}

fn stands(book: &MemoryBudgets, account: &str) -> Stands {
    let balance = book.balance(account).expect("a budget");
    Stands {
        account: account.to_owned(),
        limit: balance.budget.limit.nanos(),
        posted: balance.posted.nanos(),
        reserved: balance.reserved.nanos(),
        excess: 0,
        unexplained: 0,
    }
}

async fn journal(part: &Part, sink: Arc<dyn LedgerSink>) -> Arc<Journal> {
    loop {
        match Journal::open(&part.folder.join("journal"), sink.clone(), &[7; 32]).await {
            Ok(journal) => return Arc::new(journal),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => unreachable!("{error:?}"),
        }
    }
}
