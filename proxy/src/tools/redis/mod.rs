//! Values that tools keep for a while, each tenant's apart.

mod local;
mod redis_del;
mod redis_get;
mod redis_set;
mod remote;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use rungs::Error;

use super::{Typed, Workshop};
use crate::config::ToolUrl;

/// The longest value, in bytes.
const VALUE: usize = 64 << 10;

/// The longest key, in bytes.
const KEY: usize = 512;

/// The longest time that a value is kept.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// All of them, in the order in which they are listed.
pub(super) fn all(workshop: &Arc<Workshop>) -> Vec<Typed> {
    vec![
        redis_get::tool(workshop),
        redis_set::tool(workshop),
        redis_del::tool(workshop),
    ]
}

/// Where the values are.
pub(super) enum Shelf {
    /// In this process's memory.
    Local(local::Local),
    /// In a Redis, behind a user that can reach nothing but them.
    Remote(remote::Remote),
}

impl Shelf {
    /// The Redis at `url`, or the memory of this process.
    pub(super) async fn open(url: Option<&ToolUrl>) -> Result<Self, Error> {
        match url {
            None => Ok(Self::Local(local::Local::new())),
            Some(url) => Ok(Self::Remote(remote::Remote::open(url).await?)),
        }
    }

    pub(super) async fn get(&self, tenant: &str, key: &str) -> Result<Option<String>, Error> {
        let key = address(tenant, key)?;
        match self {
            Self::Local(local) => Ok(local.get(&key)),
            Self::Remote(remote) => remote.get(&key).await,
        }
    }

    /// Keeps a value; says for how long.
    pub(super) async fn set(
        &self,
        tenant: &str,
        key: &str,
        value: String,
        ttl: Duration,
    ) -> Result<Duration, Error> {
        let key = address(tenant, key)?;
        if value.len() > VALUE {
            return Err(Error::invalid("the value is longer than 64 KiB").param("value"));
        }
        let ttl = ttl.clamp(Duration::from_secs(1), DAY);
        match self {
            Self::Local(local) => local.set(key, value, ttl),
            Self::Remote(remote) => remote.set(&key, &value, ttl).await?,
        }
        Ok(ttl)
    }

    pub(super) async fn del(&self, tenant: &str, key: &str) -> Result<bool, Error> {
        let key = address(tenant, key)?;
        match self {
            Self::Local(local) => Ok(local.del(&key)),
            Self::Remote(remote) => remote.del(&key).await,
        }
    }
}

/// The key of a tenant's key. The length stands before the tenant, so that no two pairs have one address.
fn address(tenant: &str, key: &str) -> Result<String, Error> {
    let wrong = |why| Err(Error::invalid(format!("the key {why}")).param("key"));
    match key {
        "" => wrong("is empty"),
        key if key.len() > KEY => wrong("is longer than 512 bytes"),
        key if key.chars().any(char::is_control) => wrong("has a control character"),
        key => Ok(format!("tool:{}:{tenant}:{key}", tenant.len())),
    }
}
