//! What survives a reload: stores, clients, permits, breakers.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rungs::{
    Error,
    catalog::{Deployment, DeploymentId},
    layers::{
        breaker::{BreakerConfig, BreakerState},
        drain::Drains,
        in_flight::Permits,
        retry::RetryBudget,
    },
    provider::{HyperTransport, TransportConfig},
    store::{
        Budget, CacheStore, IdempotencyStore, KeyStore, Ledger, RateStore, Spent,
        memory::{MemoryBudgets, MemoryKeys, MemoryLedger},
        redis::Redis,
        sqlite::SqliteStore,
    },
};

use crate::{
    auth::{GLOBAL, Pepper, Principal, account},
    config::{Config, StoreUrl},
    hot::Hot,
};

/// Rows that a ledger in memory keeps for looking at.
const ROWS_IN_MEMORY: usize = 10_000;

/// How long the end of the process waits for answers that were cut, or that nobody reads.
const DRAIN: Duration = Duration::from_secs(5);

/// Everything that outlives a configuration.
pub(crate) struct State {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) budgets: Arc<MemoryBudgets>,
    pub(crate) rates: Arc<dyn RateStore>,
    pub(crate) cache: Arc<dyn CacheStore>,
    /// Names of calls that clients may repeat.
    pub(crate) names: Arc<dyn IdempotencyStore>,
    pub(crate) calls: Permits,
    pub(crate) retries: RetryBudget,
    pub(crate) drains: Drains,
    pub(crate) pepper: Pepper,
    database: Option<Arc<SqliteStore>>,
    redis: Option<Arc<Redis>>,
    public: HyperTransport,
    private: HyperTransport,
    breakers: Mutex<HashMap<DeploymentId, BreakerState>>,
    permits: Mutex<HashMap<Arc<str>, Permits>>,
    /// Held while an account is opened: two calls with a new key must not both put what was spent into the book.
    opening: tokio::sync::Mutex<()>,
}

impl State {
    /// Opens the stores of `config`.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        let (ledger, keys, pepper, database): (Arc<dyn Ledger>, Arc<dyn KeyStore>, _, _) =
            match &config.store.url {
                StoreUrl::Memory => (
                    Arc::new(MemoryLedger::new(ROWS_IN_MEMORY)),
                    Arc::new(MemoryKeys::new()),
                    Pepper::random()?,
                    None,
                ),
                StoreUrl::Sqlite(path) => {
                    let store = Arc::new(open_database(path).await?);
                    (
                        store.clone(),
                        Arc::new(store.keys()),
                        Pepper::beside(path)?,
                        Some(store),
                    )
                }
            };
        let transport = TransportConfig::default();
        let Hot {
            rates,
            cache,
            names,
            redis,
        } = Hot::open(config).await?;
        Ok(Self {
            ledger,
            keys,
            budgets: Arc::new(MemoryBudgets::new()),
            rates,
            cache,
            names,
            calls: Permits::new(config.limits.max_in_flight),
            retries: RetryBudget::default(),
            drains: Drains::new(config.limits.max_drains, config.timeouts.total),
            pepper,
            database,
            redis,
            public: HyperTransport::new(&transport)?,
            private: HyperTransport::new(&transport.allow_private())?,
            breakers: Mutex::default(),
            permits: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        })
    }

    /// The client for providers that may, or may not, be on private addresses.
    pub(crate) fn transport(&self, allow_private: bool) -> HyperTransport {
        match allow_private {
            true => self.private.clone(),
            false => self.public.clone(),
        }
    }

    /// The breaker of a deployment; made on first use.
    pub(crate) fn breaker(&self, deployment: &Deployment, config: BreakerConfig) -> BreakerState {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || BreakerState::new(deployment.id.clone(), config);
        let breaker = breakers.entry(deployment.id.clone()).or_insert_with(made);
        breaker.reconfigure(config);
        breaker.clone()
    }

    /// The deployments whose breaker is open.
    pub(crate) fn broken(&self) -> Vec<DeploymentId> {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        breakers
            .iter()
            .filter(|(_, state)| state.is_open())
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The permits of a provider, set to `max`.
    pub(crate) fn permits(&self, provider: &Arc<str>, max: usize) -> Permits {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = permits
            .entry(Arc::clone(provider))
            .or_insert_with(|| Permits::new(max));
        permits.resize(max);
        permits.clone()
    }

    /// Puts a principal's budget into the book, with what the ledger says was spent of it.
    pub(crate) async fn open_account(&self, principal: &Principal) -> Result<(), Error> {
        match &principal.key {
            Some(key) => {
                self.open_budget(&account(key), principal.budget, Spent::Key(key))
                    .await
            }
            None => Ok(()),
        }
    }

    /// The same for the budget over everything.
    pub(crate) async fn open_global(&self, budget: Option<Budget>) -> Result<(), Error> {
        self.open_budget(GLOBAL, budget, Spent::All).await
    }

    async fn open_budget(
        &self,
        account: &str,
        budget: Option<Budget>,
        whose: Spent<'_>,
    ) -> Result<(), Error> {
        let Some(budget) = budget else {
            self.budgets.set(account, Vec::new());
            return Ok(());
        };
        let _alone = self.opening.lock().await;
        if self
            .budgets
            .balances(account)
            .iter()
            .any(|b| b.budget == budget)
        {
            return Ok(());
        }
        self.ledger.flush().await?;
        let since = budget.window.start(SystemTime::now());
        let posted = self.ledger.spent(whose, since).await?;
        self.budgets.set(account, vec![budget]);
        self.budgets.seed(account, budget.window, posted);
        Ok(())
    }

    /// Whether Redis answers; `None` if there is none to answer.
    pub(crate) fn redis_is_up(&self) -> Option<bool> {
        self.redis.as_ref().map(|redis| redis.is_up())
    }

    /// Whether there is a database, or memory only.
    pub(crate) fn has_database(&self) -> bool {
        self.database.is_some()
    }

    /// Returns once nothing is on its way to the ledger any more. Streams of HTTP/2 are tasks of their own, which outlive their
    /// connection for a moment; a call's permit is given back after its rows are taken.
    async fn last_calls(&self) {
        while self.calls.in_use() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.drains.finish().await;
    }

    /// Writes what is still in memory; the last thing a process does.
    pub(crate) async fn close(&self) {
        let flushed = tokio::time::timeout(Duration::from_secs(10), async {
            if tokio::time::timeout(DRAIN, self.last_calls())
                .await
                .is_err()
            {
                tracing::warn!("some answers are cut and may be missing in the ledger");
            }
            if let Some(redis) = &self.redis {
                redis.flush().await;
            }
            self.ledger.flush().await?;
            match &self.database {
                Some(database) => database.close().await,
                None => Ok(()),
            }
        });
        match flushed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %error, "the ledger could not be written"),
            Err(_) => tracing::error!("the ledger could not be written in time"),
        }
    }
}

async fn open_database(path: &Path) -> Result<SqliteStore, Error> {
    SqliteStore::open(&format!("sqlite:{}", path.display())).await
}
