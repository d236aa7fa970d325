use std::{fmt, path::PathBuf, time::Duration};

use rungs::store::redis::RedisUrl;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};

use super::{World, error::Faults, seconds, secret::SecretSpec};
use crate::keys::Age;

/// `[store]`: where ledger, keys and conversations live, and what processes share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// The database.
    pub(crate) url: StoreUrl,
    /// What keys are hashed and rows sealed with, where no file beside the database can hold it.
    pub(super) secret: Option<SecretSpec>,
    /// Where this process keeps rows on their way to a shared database, and what is used of its leases: no other process's.
    pub(crate) folder: PathBuf,
    /// How long rows of the ledger are kept; for ever if unset.
    #[serde(deserialize_with = "age")]
    pub(crate) keep: Option<Duration>,
    /// How many connections to a shared database, beside those of leases and the ledger.
    pub(crate) connections: u32,
    /// The hot layer that processes share.
    #[serde(deserialize_with = "redis_url")]
    pub(crate) redis: Option<RedisUrl>,
    /// The longest that a call waits for one of its answers.
    #[serde(rename = "redis_seconds", deserialize_with = "seconds::some")]
    pub(crate) redis_patience: Duration,
    /// Whether it may evict keys.
    pub(crate) redis_eviction: Eviction,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: StoreUrl::default(),
            secret: None,
            folder: "rungs.data".into(),
            keep: None,
            connections: 8,
            redis: None,
            redis_patience: Duration::from_millis(25),
            redis_eviction: Eviction::Refuse,
        }
    }
}

/// What to do with a Redis that evicts keys when it is full, and with them limits and names in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Eviction {
    /// Do not start.
    Refuse,
    /// Use it all the same.
    Allow,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// Lost when the process ends.
    Memory,
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL, for any number of processes.
    Postgres(PostgresUrl),
}

/// Where a PostgreSQL is. It may hold a password, and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresUrl(String);

impl PostgresUrl {
    /// The URL, for who connects.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresUrl")
    }
}

impl Store {
    /// The secret of a store that cannot hold its own.
    pub(super) fn resolve(
        &self,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<SecretString> {
        if !matches!(self.url, StoreUrl::Postgres(_)) {
            return None;
        }
        let Some(secret) = &self.secret else {
            faults.at(
                "store.secret",
                "is missing: keys in PostgreSQL are hashed with a secret that is not in it, the same for all processes; \
                 give it as the environment variable RUNGS_SECRET, 32 random characters or more",
            );
            return None;
        };
        match secret.resolve(world) {
            Ok(secret) if secret.expose_secret().len() >= 32 => Some(secret),
            Ok(_) => {
                faults.at("store.secret", "is shorter than 32 characters");
                None
            }
            Err(why) => {
                faults.at("store.secret", why);
                None
            }
        }
    }
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Sqlite("rungs.db".into())
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let url = String::deserialize(d)?;
        // A URL may hold a password: only its scheme is ever shown.
        let (scheme, rest) = url.split_once(':').unwrap_or(("", &url));
        let path = rest.strip_prefix("//").unwrap_or(rest);
        let path = path.split('?').next().unwrap_or(path);
        match scheme {
            "memory" => Ok(Self::Memory),
            "sqlite" if path == ":memory:" => Ok(Self::Memory),
            "sqlite" if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            "redis" | "rediss" => Err(de::Error::custom(format!(
                "{scheme} keeps no ledger; it goes into `store.redis`"
            ))),
            "postgres" | "postgresql" => Ok(Self::Postgres(PostgresUrl(url))),
            "mysql" => Err(de::Error::custom(
                "mysql is not in this build; use postgres://..., sqlite:rungs.db or memory:",
            )),
            _ => Err(de::Error::custom(
                "is no store like sqlite:rungs.db, postgres://user@host/name or memory:",
            )),
        }
    }
}

/// How long something is kept.
pub(super) fn age<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    match Age::deserialize(d)?.0 {
        Duration::ZERO => Err(de::Error::custom(
            "must be more than nothing; leave it out to keep all for ever",
        )),
        age => Ok(Some(age)),
    }
}

fn redis_url<'de, D: Deserializer<'de>>(d: D) -> Result<Option<RedisUrl>, D::Error> {
    let url = String::deserialize(d)?;
    url.parse().map(Some).map_err(de::Error::custom)
}
