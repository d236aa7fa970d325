//! Configuration: a file, the environment and the built-in catalog become one checked [`Config`].
//!
//! What the file says wins over the environment, and that over the defaults. Loading is pure: everything it may ask of the
//! world is in [`World`]. All faults of a file are reported at once, each with its line, its path and, where a name is
//! wrong, the nearest right one.

mod admin;
mod agent;
mod builtin;
mod catalog;
mod conversation;
mod entries;
mod env;
mod error;
mod key;
mod layers;
mod limits;
mod log;
mod mcp;
mod model;
mod money;
mod nearest;
mod numbers;
mod paths;
mod price;
mod price_lists;
mod provider;
mod read;
mod reload;
mod runner;
mod seconds;
mod secret;
mod sections;
mod server;
mod store;
mod tools;
mod upstream;
mod url;
mod warnings;
mod webhook;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use rungs::catalog::Deployment;
use secrecy::SecretString;
use toml::Table;

pub(crate) use agent::Agent;
pub(crate) use catalog::Catalog;
pub(crate) use conversation::Conversation;
pub(crate) use env::{MODE, Mode};
pub(crate) use error::{ConfigError, Source};
pub(crate) use key::Key;
pub(crate) use limits::{Alone, Idempotency, Limits};
pub(crate) use log::{Log, LogFormat};
pub(crate) use mcp::{Mcp, OAuth};
pub(crate) use model::{AUTO, CONFIGURED, Model};
pub(crate) use money::{BudgetRules, Project, Unpriced};
pub(crate) use nearest::did_you_mean;
pub(crate) use provider::{
    Dialect, Metering, OnDisconnect, OutputLimit, Provider, Proxy, Terminal,
};
pub(crate) use runner::{Reporter, Runner};
pub(crate) use sections::{Breaker, Cache, CrossCheck, OnStream, Retry, Routing, Timeouts};
pub(crate) use server::{Access, Auth, Server};
pub(crate) use store::{Eviction, PostgresUrl, Store, StoreUrl};
pub(crate) use tools::{ToolUrl, Tools, Untrusted};
pub(crate) use upstream::{Upstream, Variable, Way};
pub(crate) use webhook::Webhook;

use admin::AdminSpec;
use entries::Entries;
use error::Faults;
use key::KeySpec;
use money::ProjectSpec;
use sections::{CatalogRules, UseBuiltin};
use upstream::UpstreamSpec;

/// The environment variables.
pub(crate) type Vars = BTreeMap<String, String>;

/// Everything that loading may ask of the world.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    /// The environment.
    pub(crate) vars: &'a Vars,
    /// Reads a secret's file.
    pub(crate) read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// The whole path of what lies somewhere; nothing, if nothing does.
    pub(crate) find: &'a dyn Fn(&Path) -> Option<PathBuf>,
    /// What the Ollama at an address such as `http://localhost:11434` says.
    pub(crate) ollama: &'a dyn Fn(&str) -> Ollama,
}

/// What is known of the models of a local server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ollama {
    /// Nobody asked.
    NotAsked,
    /// Nothing answers.
    Silent,
    /// It has these.
    Has(Vec<String>),
}

impl World<'_> {
    /// An environment variable; one that is empty counts as not set.
    fn var(&self, name: &str) -> Option<&str> {
        self.vars
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The address and the limits of a connection.
    pub(crate) server: Server,
    /// Where things are kept.
    pub(crate) store: Store,
    /// Answers kept in memory.
    pub(crate) cache: Cache,
    /// What was said before.
    pub(crate) conversation: Conversation,
    /// How much at once, and how often.
    pub(crate) limits: Limits,
    /// Calls that clients may repeat.
    pub(crate) idempotency: Idempotency,
    /// Time limits.
    pub(crate) timeouts: Timeouts,
    /// Asking the same deployment again.
    pub(crate) retry: Retry,
    /// Leaving a dead deployment alone.
    pub(crate) breaker: Breaker,
    /// Where a call starts and how far it climbs.
    pub(crate) routing: Routing,
    /// What the code agent may use up.
    pub(crate) agent: Agent,
    /// Money.
    pub(crate) budget: BudgetRules,
    /// The log.
    pub(crate) log: Log,
    /// What models and MCP clients may use.
    pub(crate) tools: Tools,
    /// The MCP server.
    pub(crate) mcp: Mcp,
    /// Active providers.
    pub(crate) providers: Vec<Provider>,
    /// Models of active providers.
    pub(crate) models: Vec<Model>,
    /// Keys of the file; the store may have more.
    pub(crate) keys: Vec<Key>,
    /// What keys are hashed with, where the store cannot keep it.
    pub(crate) secret: Option<SecretString>,
    /// Opens `/admin/v1`.
    pub(crate) admin: Option<SecretString>,
    /// Who is told of budgets that are nearly spent, beside the log.
    pub(crate) webhook: Option<Webhook>,
    /// Keys that share budgets.
    pub(crate) projects: Vec<Project>,
    /// MCP servers whose tools are mounted.
    pub(crate) upstreams: Vec<Upstream>,
    /// The files that it was read from, with those of secrets.
    pub(crate) files: Vec<PathBuf>,
    /// Why there is no model to ask, if there is none.
    pub(crate) nobody: Option<String>,
    /// What is not wrong but should be known.
    pub(crate) warnings: Vec<String>,
}

const SECTIONS: [&str; 22] = [
    "server",
    "store",
    "cache",
    "conversation",
    "limits",
    "idempotency",
    "timeouts",
    "retry",
    "breaker",
    "routing",
    "agent",
    "budget",
    "log",
    "tools",
    "mcp_server",
    "catalog",
    "provider",
    "model",
    "key",
    "project",
    "admin",
    "mcp",
];

impl Config {
    /// Loads a configuration from text alone: nothing on this computer changes what it means.
    pub(crate) fn alone(source: &Source) -> Result<Self, ConfigError> {
        let world = World {
            vars: &Vars::new(),
            read: &|_| Err(io::ErrorKind::NotFound.into()),
            find: &|_| None,
            ollama: &|_| Ollama::NotAsked,
        };
        Self::load(Some(source), &world)
    }

    /// Reads and checks everything; without a file, what the environment says is enough.
    ///
    /// Fails with all faults that were found.
    pub(crate) fn load(source: Option<&Source>, world: &World<'_>) -> Result<Self, ConfigError> {
        let files = RefCell::new(Vec::new());
        let folder = source.map_or(Path::new(""), Source::folder);
        let read = |path: &Path| {
            let path = folder.join(path);
            let read = (world.read)(&path);
            files.borrow_mut().push(path);
            read
        };
        let world = &World {
            read: &read,
            ..*world
        };
        let mut warnings = Vec::new();
        let mut faults = Faults::new(source);
        let faults = &mut faults;
        let mut table = source.map_or_else(Table::new, |source| read::table(source, faults));
        faults.check()?;
        env::underlay(&mut table, world, faults, &mut warnings);

        let rules: CatalogRules = read::section(&mut table, "catalog", faults);
        let key_specs: Vec<KeySpec> = read::list(&mut table, "key", faults);
        let project_specs: Vec<ProjectSpec> = read::list(&mut table, "project", faults);
        let upstream_specs: Vec<UpstreamSpec> = read::list(&mut table, "mcp", faults);
        let admin: AdminSpec = read::section(&mut table, "admin", faults);
        let mut entries = Entries::new(
            read::list(&mut table, "provider", faults),
            read::list(&mut table, "model", faults),
        );
        let mut config = Self {
            server: read::section(&mut table, "server", faults),
            store: read::section(&mut table, "store", faults),
            cache: read::section(&mut table, "cache", faults),
            conversation: read::section(&mut table, "conversation", faults),
            limits: read::section(&mut table, "limits", faults),
            idempotency: read::section(&mut table, "idempotency", faults),
            timeouts: read::section(&mut table, "timeouts", faults),
            retry: read::section(&mut table, "retry", faults),
            breaker: read::section(&mut table, "breaker", faults),
            routing: read::section(&mut table, "routing", faults),
            agent: read::section(&mut table, "agent", faults),
            budget: read::section(&mut table, "budget", faults),
            log: read::section(&mut table, "log", faults),
            tools: Tools::read(&mut table, &upstream_specs, faults),
            mcp: read::section(&mut table, "mcp_server", faults),
            providers: Vec::new(),
            models: Vec::new(),
            keys: Vec::new(),
            secret: None,
            admin: None,
            webhook: None,
            projects: Vec::new(),
            files: Vec::new(),
            upstreams: Vec::new(),
            nobody: None,
            warnings,
        };
        config.begin_paths_in(folder, world, faults);
        read::nothing_left(&table, &SECTIONS, faults);
        // What refers to something that could not be read would only be blamed for it.
        faults.check()?;

        let builtin = match rules.builtin {
            UseBuiltin::Auto => !entries.has_providers(),
            UseBuiltin::On => true,
            UseBuiltin::Off => false,
        };
        if builtin {
            builtin::add(&mut entries, world, faults, &mut config.warnings)?;
        }
        (config.providers, config.models) = entries.resolve(world, faults);
        let zone = &config.budget.tz;
        config.projects = money::projects(&project_specs, zone, faults);
        config.keys = key::keys(&key_specs, &config, &entries, world, faults);
        config.upstreams = upstream::upstreams(&upstream_specs, &config.keys, world, faults);
        config.secret = config.store.resolve(world, faults);
        config.webhook = config.budget.resolve(world, faults);
        config.admin = admin.resolve(&config.keys, world, faults);
        config.mcp.check(&config.keys, faults);
        config.check_numbers(faults);
        config.agent.check(faults);
        config.log.check(faults);
        faults.check()?;
        config.warn(entries.elsewhere());
        config.files = files.take();
        config
            .files
            .extend(source.map(|source| PathBuf::from(&source.name)));
        Ok(config)
    }

    /// The model that a deployment was made from.
    pub(crate) fn model(&self, deployment: &Deployment) -> Option<&Model> {
        let mut models = self.models.iter();
        models.find(|model| model.deployment.id == deployment.id)
    }
}

#[cfg(test)]
mod tests;
