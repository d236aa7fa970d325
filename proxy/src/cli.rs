//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use rungs::{catalog::Tier, store::Budget};

/// An AI gateway: starts each call on the cheapest tier that can carry it, climbs on evidence, counts every nano-dollar.
#[derive(Debug, Parser)]
#[command(name = "rungs", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway.
    Serve(ServeArgs),
    /// Run the gateway on scripted models: no key, no file, nothing to install.
    Demo(DemoArgs),
    /// Check a configuration without starting or asking anything.
    Check(ConfigArgs),
    /// Show how a question would be routed, without asking anybody.
    Explain(ExplainArgs),
    /// Make, list and take back API keys.
    Keys(KeysArgs),
}

impl Default for Command {
    fn default() -> Self {
        Self::Serve(ServeArgs::default())
    }
}

#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; without one, rungs.toml if it exists, and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Listen here instead of where the configuration says; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The question.
    pub(crate) question: String,
    /// The model name that a client would ask for.
    #[arg(long, default_value = "auto")]
    pub(crate) model: String,
    /// normal, high or critical.
    #[arg(long, default_value = "normal")]
    pub(crate) quality: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) verb: KeysVerb,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a key. It is shown once; only a keyed hash of it is kept.
    Create(CreateKeyArgs),
    /// List keys.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a key back.
    Revoke {
        /// Its id, as `rungs keys list` shows it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateKeyArgs {
    /// What people call it.
    #[arg(long)]
    pub(crate) name: String,
    /// Whose data it reaches; keys of one tenant share a cache.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// A cap, like 0.01/day, 5/month or 20/total; may be given several times.
    #[arg(long = "budget", value_name = "BUDGET")]
    pub(crate) budgets: Vec<Budget>,
    /// Requests per minute.
    #[arg(long)]
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute.
    #[arg(long)]
    pub(crate) tpm: Option<u64>,
    /// Models it may ask for, separated by commas; all if not given.
    #[arg(long, value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    /// The highest tier it may reach.
    #[arg(long)]
    pub(crate) max_tier: Option<Tier>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
