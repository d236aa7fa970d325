//! The cold stores: ledger, audit, keys, conversations, and the budgets that begin with them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use rungs::{
    Error,
    store::{
        AuditLog, IdempotencyStore, KeyStore, Ledger, LedgerLog,
        journal::Journal,
        memory::{MemoryAudit, MemoryIdempotency, MemoryKeys, MemoryLedger},
        postgres::{LeaseTerms, LeasedBudgets, PostgresStore},
        spool::FileSpool,
        sqlite::SqliteStore,
    },
};
use secrecy::ExposeSecret;

use crate::{
    accounts::Book,
    auth::Pepper,
    config::{Config, PostgresUrl, StoreUrl},
    memory::Memory,
};

/// Rows that a ledger in memory keeps for looking at.
const ROWS_IN_MEMORY: usize = 10_000;

/// And an audit in memory.
const AUDIT_IN_MEMORY: usize = 10_000;

/// What a configuration's `store.url` leads to.
pub(crate) struct Stores {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) audit: Arc<dyn AuditLog>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) pepper: Pepper,
    pub(crate) book: Book,
    pub(crate) memory: Memory,
    /// Names of calls that clients may repeat, where they outlive the process.
    pub(crate) names: Option<Arc<dyn IdempotencyStore>>,
    /// What the database does not have yet, where it outlives the process.
    pub(crate) spool: Option<Arc<FileSpool>>,
    pub(crate) durable: Option<Durable>,
}

/// What is closed last, where rows outlive the process.
pub(crate) struct Durable {
    journal: Arc<Journal>,
    database: Database,
}

enum Database {
    File(Arc<SqliteStore>),
    Shared(PostgresStore, Arc<LeasedBudgets>),
}

impl Stores {
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        match &config.store.url {
            StoreUrl::Memory => {
                let pepper = Pepper::random()?;
                Ok(Self {
                    ledger: Arc::new(MemoryLedger::new(ROWS_IN_MEMORY)),
                    audit: Arc::new(MemoryAudit::new(pepper.seal(), AUDIT_IN_MEMORY)),
                    keys: Arc::new(MemoryKeys::new()),
                    pepper,
                    book: Book::Own(Arc::default()),
                    memory: Memory::of_process(),
                    names: None,
                    spool: None,
                    durable: None,
                })
            }
            StoreUrl::Sqlite(path) => {
                let store = SqliteStore::open(&format!("sqlite:{}", path.display())).await?;
                let store = Arc::new(store);
                let pepper = Pepper::beside(path)?;
                let journal =
                    Journal::open(&journal_beside(path), store.clone(), pepper.seal()).await?;
                let journal = Arc::new(journal);
                let folder = PathBuf::from(format!("{}.spool", path.display()));
                let spool = Arc::new(FileSpool::open(&folder)?);
                let names = store.names(names_here(config), Some(spool.clone()));
                Ok(Self {
                    ledger: journal.clone(),
                    audit: Arc::new(store.audit(pepper.seal())),
                    keys: Arc::new(store.keys()),
                    pepper,
                    book: Book::Own(Arc::default()),
                    memory: Memory::of_file(&store),
                    names: Some(Arc::new(names)),
                    spool: Some(spool),
                    durable: Some(Durable {
                        journal,
                        database: Database::File(store),
                    }),
                })
            }
            StoreUrl::Postgres(url) => Self::shared(config, url).await,
        }
    }

    /// A database that is away is no reason not to start: keys of the configuration are known, rows wait in the journal, and paid
    /// calls are refused until leases can be had.
    async fn shared(config: &Config, url: &PostgresUrl) -> anyhow::Result<Self> {
        let store = PostgresStore::new(url.expose(), config.store.connections)?;
        match store.connect().await {
            Err(error) if !is_away(&error) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the database is away; the gateway starts without it")
            }
            Ok(()) => {}
        }
        let pepper = pepper(config)?;
        let folder = &config.store.folder;
        let terms = LeaseTerms {
            folder: Some(folder.clone()),
            ..LeaseTerms::default()
        };
        let leased = Arc::new(LeasedBudgets::open(&store, terms)?);
        let sink = Arc::new(store.ledger(leased.holder()).remembering(folder)?);
        let journal = Journal::open(&folder.join("journal"), sink, pepper.seal()).await?;
        let journal = Arc::new(journal);
        let spool = Arc::new(FileSpool::open(&folder.join("spool"))?);
        let names = store.names(names_here(config), Some(spool.clone()));
        leased.recorded_by(journal.clone());
        replay(journal.clone(), leased.clone());
        Ok(Self {
            ledger: journal.clone(),
            audit: Arc::new(store.audit(pepper.seal())),
            keys: Arc::new(store.keys()),
            pepper,
            book: Book::Shared(leased.clone()),
            memory: Memory::of_database(&store),
            names: Some(Arc::new(names)),
            spool: Some(spool),
            durable: Some(Durable {
                journal,
                database: Database::Shared(store, leased),
            }),
        })
    }
}

/// The folder of the journal in front of a file.
pub(crate) fn journal_beside(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}.journal", database.display()))
}

/// Names of this process.
pub(crate) fn names_here(config: &Config) -> MemoryIdempotency {
    MemoryIdempotency::new(config.idempotency.max_bytes)
}

/// Once all rows of the process before are in the database, what its leases had and no row explains counts as spent.
fn replay(journal: Arc<Journal>, leased: Arc<LeasedBudgets>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the journal, which is closed with the state"
    )]
    drop(tokio::spawn(async move {
        if journal.flush().await.is_ok() {
            leased.replayed();
        }
    }));
}

/// The secret of a database that cannot hold its own.
pub(crate) fn pepper(config: &Config) -> anyhow::Result<Pepper> {
    let secret = config.secret.as_ref();
    let secret = secret.context("`store.secret` is missing")?;
    Ok(Pepper::of_config(secret.expose_secret()))
}

/// Whether a store may come back by itself.
pub(crate) fn is_away(error: &Error) -> bool {
    error.kind() == rungs::ErrorKind::Unavailable
}

/// Whether a gateway did not start because its database belongs to another process.
pub(crate) fn is_in_use(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Error>();
    error.is_some_and(|error| error.kind() == rungs::ErrorKind::Conflict)
}

impl Durable {
    /// Whether a database that is shared answers.
    pub(crate) fn is_up(&self) -> Option<bool> {
        match &self.database {
            Database::File(_) => None,
            Database::Shared(_, leased) => Some(leased.is_up()),
        }
    }

    /// The ledger's rows, to be read and pruned.
    pub(crate) fn log(&self) -> Arc<dyn LedgerLog> {
        match &self.database {
            Database::File(store) => Arc::new(store.log()),
            Database::Shared(store, _) => Arc::new(store.log()),
        }
    }

    /// Brings the last rows home, and gives back what is free.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.journal.close().await;
        match &self.database {
            Database::File(store) => store.close().await,
            Database::Shared(store, leased) => {
                let closed = leased.close().await;
                store.close().await;
                closed
            }
        }
    }
}
