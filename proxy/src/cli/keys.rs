//! `rungs keys`.

use clap::{Args, Subcommand};
use rungs::{
    catalog::Tier,
    model::OnExhaust,
    store::{Budget, OnStoreDown, Role, Zone},
};
use serde::de::{DeserializeOwned, IntoDeserializer, value::StrDeserializer};

use super::ConfigArgs;
use crate::keys::{Age, Expiry, Scope};

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
    Create(Box<CreateKeyArgs>),
    /// List keys, and what was spent of their budgets.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one key, as JSON.
    Show {
        /// Its id, as `rungs keys list` shows it.
        id: String,
    },
    /// Change what is given, and nothing else; prints the key as `show` does. Gateways that run follow within 30 seconds.
    Update(Box<UpdateKeyArgs>),
    /// Give a key a new secret, which is shown once.
    Rotate {
        /// Its id.
        id: String,
        /// How long the old secret opens after it, like 1h; not while that of an earlier rotation does.
        #[arg(long, default_value = "0s")]
        grace: Age,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a key back, with all keys below it.
    Revoke {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateKeyArgs {
    /// What people call it.
    #[arg(long)]
    pub(crate) name: String,
    /// user calls models; admin looks after keys over `/admin/v1`.
    #[arg(long, default_value = "user", value_parser = named::<Role>)]
    pub(crate) role: Role,
    /// Whose data it reaches; keys of one tenant share a cache. Its parent's if it has one.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// The id of a key that it may do no more than, and that pays for it as well.
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<String>,
    #[command(flatten)]
    pub(crate) terms: TermsArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateKeyArgs {
    /// Its id.
    pub(crate) id: String,
    /// What people call it.
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) terms: TermsArgs,
    /// What it is to be without, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) clear: Vec<Clearable>,
}

/// What a key can be without.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Clearable {
    Project,
    Budget,
    WarnAt,
    Rpm,
    Tpm,
    Models,
    MaxTier,
    Routes,
    Expires,
}

/// What can be said of a key when it is made, and changed later.
#[derive(Debug, Args)]
pub(crate) struct TermsArgs {
    /// A `[[project]]` of the configuration that pays as well.
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// A cap, like 0.01/day, 20/week@sun, 100/month@15 or 500/total; may be given several times.
    #[arg(long = "budget", value_name = "BUDGET", value_parser = budget)]
    pub(crate) budgets: Vec<String>,
    /// The time zone of its budgets, like Europe/Berlin.
    #[arg(long)]
    pub(crate) tz: Option<Zone>,
    /// Warn at so many percent of a budget.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) warn_at: Option<u8>,
    /// What its budgets cannot pay for: downgrade goes to a cheaper tier, refuse does not.
    #[arg(long, value_parser = named::<OnExhaust>)]
    pub(crate) on_exhaust: Option<OnExhaust>,
    /// Its calls while nobody can tell what was spent: closed or open.
    #[arg(long, value_parser = named::<OnStoreDown>)]
    pub(crate) on_store_down: Option<OnStoreDown>,
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
    /// Routes it may call, separated by commas: chat, embeddings, models, route, conversations, agent, metrics, openapi, mcp; all but metrics if not given.
    #[arg(long, value_delimiter = ',')]
    pub(crate) routes: Vec<Scope>,
    /// When it ends: after a time like 30d, with a day like 2027-01-31, or at a moment like 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<Expiry>,
}

fn named<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    let name: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
    T::deserialize(name).map_err(|error| error.to_string())
}

fn budget(text: &str) -> Result<String, rungs::Error> {
    text.parse::<Budget>().map(|_| text.to_owned())
}
