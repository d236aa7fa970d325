//! Other MCP servers, whose tools are mounted under the names of their servers.
//!
//! What such a server says is not trusted: its tools' names and texts are looked at before anybody sees them ([`listing`]), a tool
//! that says something else than before is not used until somebody approves it ([`pins`]), results are capped and marked as
//! words from outside ([`outcome`]), and a server that is a program has nothing of our environment ([`process`]).

mod call;
mod digest;
mod keeper;
mod listing;
mod mounted;
mod outcome;
mod pins;
mod process;
mod server;
mod session;
mod visible;
mod words;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub(crate) use digest::Digest;
pub(crate) use listing::Listed;
pub(crate) use pins::Pins;
pub(crate) use server::{Health, Server};

use crate::{auth::Principal, config, tools::Tool};
use mounted::Mounted;

/// A text as a person may be shown it: on one line, nothing hidden, at most so many characters.
pub(super) fn shown(text: &str, longest: usize) -> String {
    visible::shortened(&visible::line(text), longest).into_owned()
}

/// The longest that a caller waits for a server that has just been started.
const SETTLING: Duration = Duration::from_secs(10);

/// The servers of a configuration, each kept running by a task of its own.
pub(crate) struct Upstreams {
    pins: Arc<Pins>,
    servers: Mutex<Vec<Arc<Server>>>,
    tasks: TaskTracker,
    changes: watch::Sender<()>,
}

impl Upstreams {
    /// None yet; `pins` says what was agreed to of their tools.
    pub(crate) fn new(pins: Pins) -> Self {
        Self {
            pins: Arc::new(pins),
            servers: Mutex::default(),
            tasks: TaskTracker::new(),
            changes: watch::Sender::new(()),
        }
    }

    /// Changes with whatever may change the tools that somebody may see: a server, its tools, an approval, the configuration.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Starts the servers of a configuration and stops all others; one whose configuration is the same runs on.
    pub(crate) fn adopt(&self, configs: &[config::Upstream]) {
        let mut servers = self.lock();
        let before = std::mem::take(&mut *servers);
        // First of all: what one of these says of itself must not be said over what another of its name does.
        for server in &before {
            if !configs.contains(&server.config) {
                server.stop.cancel();
                metrics::gauge!("rungs_mcp_up", "server" => server.config.name.to_string()).set(0);
            }
        }
        for config in configs {
            let same = before.iter().find(|server| server.config == *config);
            servers.push(same.cloned().unwrap_or_else(|| self.start(config)));
        }
        drop(servers);
        self.changes.send_replace(());
    }

    fn start(&self, config: &config::Upstream) -> Arc<Server> {
        let server = Arc::new(Server::new(
            config.clone(),
            Arc::clone(&self.pins),
            self.tasks.clone(),
            self.changes.clone(),
        ));
        // It ends with its server's `stop`, and `close` waits for it.
        self.tasks.spawn(Arc::clone(&server).keep());
        server
    }

    /// All servers, in the order of the configuration.
    pub(crate) fn servers(&self) -> Vec<Arc<Server>> {
        self.lock().clone()
    }

    /// The tools that a caller may see now, in an order that changes only with the configuration and the servers.
    pub(crate) fn tools(&self, principal: &Principal) -> Vec<Arc<dyn Tool>> {
        let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
        for server in self.servers() {
            if server.is_for(principal) {
                let mounted = |tool| Arc::new(Mounted::new(&server, tool)) as Arc<dyn Tool>;
                tools.extend(server.tools().into_iter().map(mounted));
            }
        }
        tools
    }

    /// The tool of this name, if a caller may see it, once it is known whether its server answers.
    pub(crate) async fn tool(&self, name: &str, principal: &Principal) -> Option<Arc<dyn Tool>> {
        // Names of servers have no `__`.
        let (prefix, own) = name.split_once("__")?;
        let mut servers = self.servers().into_iter();
        let server = servers.find(|s| *s.config.name == *prefix && s.is_for(principal))?;
        let _ = tokio::time::timeout(SETTLING, server.known_health()).await;
        let tool = server.tools().into_iter().find(|tool| tool.name == own)?;
        Some(Arc::new(Mounted::new(&server, tool)))
    }

    /// Returns once it is known of each server whether it answers: clients list tools once, right at their start.
    pub(crate) async fn settled(&self) {
        let servers = self.servers();
        let known = join_all(servers.iter().map(|server| server.known_health()));
        let _ = tokio::time::timeout(SETTLING, known).await;
    }

    /// Stops all servers, and waits for a moment until they have ended.
    pub(crate) async fn close(&self) {
        const PATIENCE: Duration = Duration::from_secs(6);
        for server in self.lock().drain(..) {
            server.stop.cancel();
        }
        self.tasks.close();
        let _ = tokio::time::timeout(PATIENCE, self.tasks.wait()).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Server>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever drops them stops them.
impl Drop for Upstreams {
    fn drop(&mut self) {
        self.lock().iter().for_each(|server| server.stop.cancel());
    }
}

#[cfg(test)]
mod tests;
