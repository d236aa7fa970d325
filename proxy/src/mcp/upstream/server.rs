//! One server as its callers see it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rungs::{Error, ErrorKind};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Pins,
    call::{Called, Line},
    listing::{Listed, Listing},
    outcome::Outcome,
};
use crate::{accounts, auth::Principal, config, tools::Caller};

/// An upstream server.
pub(crate) struct Server {
    pub(crate) config: config::Upstream,
    pub(super) pins: Arc<Pins>,
    health: watch::Sender<Health>,
    /// Told of what may change the tools that somebody may see.
    pub(super) changes: watch::Sender<()>,
    pub(super) tasks: TaskTracker,
    /// Ends it.
    pub(super) stop: CancellationToken,
}

/// How a server is.
#[derive(Clone)]
pub(crate) enum Health {
    /// Nothing is known yet.
    Starting,
    /// It answers.
    Up(Arc<Up>),
    /// It does not.
    Down {
        /// Why not, for the operator: a child's own words may be in it.
        why: Arc<str>,
        /// When it is started again.
        again: Instant,
    },
}

/// A server that answers.
pub(crate) struct Up {
    /// What it calls itself, with the revision of the protocol that it speaks.
    pub(crate) about: String,
    pub(crate) listing: Listing,
    pub(super) line: Line,
}

impl Server {
    pub(super) fn new(
        config: config::Upstream,
        pins: Arc<Pins>,
        tasks: TaskTracker,
        changes: watch::Sender<()>,
    ) -> Self {
        Self {
            config,
            pins,
            health: watch::Sender::new(Health::Starting),
            changes,
            tasks,
            stop: CancellationToken::new(),
        }
    }

    /// Says how it is now.
    pub(super) fn is(&self, health: Health) {
        self.health.send_replace(health);
        self.changes.send_replace(());
    }

    /// How it is.
    pub(crate) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// How it is once that is known.
    pub(crate) async fn known_health(&self) -> Health {
        let mut health = self.health.subscribe();
        let known = health.wait_for(|health| !matches!(health, Health::Starting));
        // The sender lives as long as `self`.
        known
            .await
            .map_or(Health::Starting, |health| health.clone())
    }

    /// Whether a caller may see its tools: their key is named, or one above it.
    pub(crate) fn is_for(&self, principal: &Principal) -> bool {
        let keys = &self.config.keys;
        let theirs = |key: &Arc<str>| principal.accounts.contains(&accounts::of_key(key));
        keys.is_empty() || keys.iter().any(theirs)
    }

    /// The tools that may be shown and called now.
    pub(super) fn tools(&self) -> Vec<Arc<Listed>> {
        match self.health() {
            Health::Up(up) => self.agreed(&up.listing),
            _ => Vec::new(),
        }
    }

    /// The tools of a listing that say what was agreed to.
    pub(crate) fn agreed(&self, listing: &Listing) -> Vec<Arc<Listed>> {
        let agreed = self.pins.agreed(&self.config.name, &listing.tools);
        agreed.unwrap_or_else(|error| {
            tracing::error!(%error, "no tool of an MCP server is used: what was approved is not known");
            Vec::new()
        })
    }

    /// Calls a tool.
    pub(super) async fn call(
        &self,
        tool: &Listed,
        caller: Caller,
        arguments: Map<String, Value>,
    ) -> Result<Value, Error> {
        let began = Instant::now();
        let server = &*self.config.name;
        let said = serde_json::to_vec(&arguments).unwrap_or_default();
        let said = blake3::hash(&said);
        let result = match self.health() {
            Health::Up(up) => {
                let called = Called {
                    server,
                    tool: &tool.name,
                    timeout: self.config.timeout,
                };
                let (progress, cancelled) = (&caller.progress, &caller.cancelled);
                up.line.call(&called, arguments, progress, cancelled).await
            }
            Health::Starting => Err(self.away(Duration::from_secs(1))),
            Health::Down { again, .. } => Err(self.away(again.saturating_duration_since(began))),
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(error) => error.kind().as_str(),
        };
        metrics::counter!("rungs_mcp_calls_total", "server" => server.to_owned(), "outcome" => outcome).increment(1);
        tracing::info!(
            tool = %tool.spec.name,
            key = caller.principal.key.as_deref(),
            tenant = %caller.principal.tenant,
            arguments = %said,
            outcome,
            ms = began.elapsed().as_millis() as u64,
            "a tool was called"
        );
        let max = self.config.max_result_bytes;
        let outcome = Outcome::of(server, result?, max);
        serde_json::to_value(&outcome)
            .map_err(|e| Error::internal("the result of a tool does not serialise").with_source(e))
    }

    fn away(&self, wait: Duration) -> Error {
        let why = format!(
            "the MCP server `{}` is away; it is started again",
            self.config.name
        );
        Error::new(ErrorKind::Unavailable, why).retry_after(wait)
    }
}
