//! What survives a reload: stores, clients, permits, breakers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rungs::{
    catalog::{Deployment, DeploymentId},
    layers::{
        breaker::{BreakerConfig, BreakerState},
        conversation::Conversations,
        drain::Drains,
        in_flight::Permits,
        retry::RetryBudget,
    },
    provider::{HyperTransport, TransportConfig},
    store::{
        CacheStore, IdempotencyStore, KeyStore, Ledger, RateStore, TodoStore, redis::Redis,
        spool::FileSpool,
    },
};

use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{Accounts, Opening, Users, WarnRules},
    auth::Pepper,
    config::Config,
    hot::Hot,
    ledger::AuditWriter,
    mcp::upstream::{Pins, Upstreams},
    retention::Retention,
    stores::{Durable, Stores},
    tools::Workshop,
    webhook::{Clients, Outbox, Webhook},
};

/// How long the end of the process waits for answers that were cut, or that nobody reads.
const DRAIN: Duration = Duration::from_secs(5);

/// And for the last turns of conversations.
const LAST_TURNS: Duration = Duration::from_secs(3);

/// How many turns may be under way, or wait for the store, at least.
const TURNS: usize = 4096;

/// What is known about the health of deployments, each with the [fingerprint](crate::provider::Provider::fingerprint) of the way there.
pub(crate) type Breakers = HashMap<DeploymentId, (u64, BreakerState)>;

/// Everything that outlives a configuration.
pub(crate) struct State {
    pub(crate) ledger: Arc<dyn Ledger>,
    /// What tools were called for that do more than read.
    pub(crate) audit: AuditWriter,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) users: Arc<Users>,
    pub(crate) rates: Arc<dyn RateStore>,
    pub(crate) cache: Arc<dyn CacheStore>,
    /// Names of calls that clients may repeat.
    pub(crate) names: Arc<dyn IdempotencyStore>,
    pub(crate) conversations: Conversations,
    /// What the database does not have yet, where it outlives the process.
    pub(crate) spool: Option<Arc<FileSpool>>,
    pub(crate) todos: Arc<dyn TodoStore>,
    pub(crate) calls: Permits,
    pub(crate) retries: RetryBudget,
    pub(crate) drains: Drains,
    pub(crate) pepper: Pepper,
    /// What tools work with, as the configuration of the start says it.
    pub(crate) workshop: Arc<Workshop>,
    /// Other MCP servers.
    pub(crate) upstreams: Upstreams,
    /// Told at the end, when streams that have no end of their own must go.
    pub(crate) ending: CancellationToken,
    /// What is closed last, where rows outlive the process.
    durable: Option<Durable>,
    /// Lets old rows go, where rows outlive the process.
    old_rows: Option<Retention>,
    /// Lets conversations go that nobody writes to any more.
    idle_conversations: Retention,
    redis: Option<Arc<Redis>>,
    clients: Clients,
    outbox: Outbox,
    breakers: Mutex<Breakers>,
    permits: Mutex<HashMap<Arc<str>, Permits>>,
}

impl State {
    /// Opens the stores of `config`.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        let Stores {
            ledger,
            audit,
            keys,
            pepper,
            book,
            memory,
            names,
            spool,
            durable,
        } = Stores::open(config).await?;
        let old_rows = durable
            .as_ref()
            .map(|durable| Retention::of_rows(durable.log(), *pepper.seal()));
        let transport = TransportConfig::default().pool_per_thread();
        let clients = Clients {
            public: HyperTransport::new(&transport)?,
            private: HyperTransport::new(&transport.allow_private())?,
        };
        let Hot {
            rates,
            cache,
            names,
            copies,
            redis,
        } = Hot::open(config, names).await?;
        let memory = memory.behind(copies, config.conversation.ttl);
        let places = TURNS.max(2 * config.limits.max_in_flight);
        let conversations = match &spool {
            Some(spool) => Conversations::spooled(memory.conversations, places, spool.clone())?,
            None => Conversations::new(memory.conversations, places),
        };
        Ok(Self {
            idle_conversations: Retention::of_conversations(conversations.clone()),
            conversations,
            todos: memory.todos,
            accounts: Arc::new(Accounts::new(book, Arc::clone(&ledger))),
            ledger,
            audit: AuditWriter::new(audit),
            keys,
            users: Arc::default(),
            rates,
            cache,
            names,
            spool,
            calls: Permits::new(config.limits.max_in_flight),
            retries: RetryBudget::default(),
            drains: Drains::new(config.limits.max_drains, config.timeouts.total),
            pepper,
            workshop: Workshop::new(config),
            upstreams: Upstreams::new(Pins::of(&config.store)),
            ending: CancellationToken::new(),
            durable,
            old_rows,
            redis,
            outbox: Outbox::open(clients.clone()),
            clients,
            breakers: Mutex::default(),
            permits: Mutex::default(),
        })
    }

    /// The client for providers that may, or may not, be on private addresses.
    pub(crate) fn transport(&self, allow_private: bool) -> HyperTransport {
        match allow_private {
            true => self.clients.private.clone(),
            false => self.clients.public.clone(),
        }
    }

    /// The breaker of a deployment: the one in use, if the way there is the same.
    pub(crate) fn breaker(
        &self,
        deployment: &Deployment,
        fingerprint: u64,
        config: BreakerConfig,
    ) -> BreakerState {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        match breakers.get(&deployment.id) {
            Some((same, breaker)) if *same == fingerprint => breaker.clone(),
            _ => BreakerState::new(deployment.id.clone(), config),
        }
    }

    /// The deployments whose breaker is open.
    pub(crate) fn broken(&self) -> Vec<DeploymentId> {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        breakers
            .iter()
            .filter(|(_, (_, state))| state.is_open())
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The permits of a provider; `max` of them if it had none.
    pub(crate) fn permits(&self, provider: &Arc<str>, max: usize) -> Permits {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = permits.entry(Arc::clone(provider));
        permits.or_insert_with(|| Permits::new(max)).clone()
    }

    /// Who is told of money beside the log, if somebody is.
    pub(crate) fn webhook(&self, config: &Config) -> Option<Webhook> {
        config.webhook.as_ref().map(|to| self.outbox.to(to))
    }

    /// Puts in force what `config` says of all this. It neither fails nor waits, so that a reload is done as a whole or not at all.
    pub(crate) fn adopt(&self, config: &Config, breakers: Breakers, opening: Opening<'_>) {
        self.workshop.protect(&config.files);
        self.accounts.warn(WarnRules {
            percent: config.budget.warn_at(),
            webhook: self.webhook(config),
        });
        opening.commit();
        let known = |name: &str| config.projects.iter().any(|p| *p.name == *name);
        let keep = |account: &str| account.strip_prefix("project:").is_none_or(known);
        self.accounts.retain(keep);
        self.calls.resize(config.limits.max_in_flight);
        for provider in &config.providers {
            if let Some(max) = provider.max_in_flight {
                self.permits(&provider.name, max).resize(max);
            }
        }
        for (_, breaker) in breakers.values() {
            breaker.reconfigure(config.breaker.to_layer(&config.timeouts));
        }
        *self.breakers.lock().unwrap_or_else(PoisonError::into_inner) = breakers;
        if let Some(rows) = &self.old_rows {
            rows.keep(config.store.keep);
        }
        self.idle_conversations
            .keep(config.conversation.forget_after);
        self.upstreams.adopt(&config.upstreams);
    }

    /// Whether Redis answers; `None` if there is none to answer.
    pub(crate) fn redis_is_up(&self) -> Option<bool> {
        self.redis.as_ref().map(|redis| redis.is_up())
    }

    /// Whether a database that processes share answers; `None` if there is none.
    pub(crate) fn shared_database_is_up(&self) -> Option<bool> {
        self.durable.as_ref().and_then(Durable::is_up)
    }

    /// Whether there is a database, or memory only.
    pub(crate) fn has_database(&self) -> bool {
        self.durable.is_some()
    }

    /// Returns once nothing is on its way to the ledger any more. Streams of HTTP/2 are tasks of their own, which outlive their
    /// connection for a moment; a call's permit is given back after its rows are taken.
    async fn last_calls(&self) {
        while self.calls.in_use() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.drains.finish().await;
    }

    /// Ends the streams that have no end of their own, once no call is under way, and after `patience` at the latest.
    pub(crate) async fn end_streams(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.last_calls()).await;
        self.ending.cancel();
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
            if tokio::time::timeout(LAST_TURNS, self.conversations.close())
                .await
                .is_err()
            {
                tracing::error!("the last turns of conversations could not be written in time");
            }
            if let Err(error) = self.names.flush().await {
                tracing::warn!(%error, "the last names of calls are not where other processes find them");
            }
            if let Some(redis) = &self.redis {
                redis.flush().await;
            }
            if let Some(spool) = &self.spool {
                spool.close().await;
            }
            self.outbox.close().await;
            self.audit.close().await;
            if let Some(rows) = &self.old_rows {
                rows.stop().await;
            }
            self.idle_conversations.stop().await;
            match &self.durable {
                Some(durable) => durable.close().await,
                None => Ok(()),
            }
        });
        match tokio::join!(flushed, self.upstreams.close()).0 {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %error, "the ledger could not be written"),
            Err(_) => tracing::error!("the ledger could not be written in time"),
        }
    }
}
