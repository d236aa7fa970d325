//! Values in a Redis of the tools' own user.

use std::time::Duration;

use redis::{AsyncCommands, AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};
use rungs::{Error, ErrorKind};

use crate::config::ToolUrl;

/// How long a tool waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A key outside of what tools are for. A user that may read it may read everything.
const FOREIGN: &str = "lease:probe";

pub(crate) struct Remote(Client);

impl Remote {
    /// The Redis at `url`, if its user can reach nothing but the tools' keys: the prefix is one wall, this is the other.
    pub(super) async fn open(url: &ToolUrl) -> Result<Self, Error> {
        let client = Client::open(url.expose()).map_err(|error| {
            Error::invalid("`tools.redis` is no URL like redis://user:password@host/0")
                .with_source(error)
        })?;
        let remote = Self(client);
        let mut connection = remote.connection().await?;
        let foreign: Result<Option<String>, RedisError> = connection.get(FOREIGN).await;
        match foreign {
            Err(error) if error.code() == Some("NOPERM") => Ok(remote),
            Err(error) => Err(away(error)),
            Ok(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "the user of `tools.redis` may read every key; make it one that may not: ACL SETUSER tools on >password ~tool:* resetchannels \
                 -@all +get +set +del",
            )),
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        self.connection().await?.get(key).await.map_err(away)
    }

    pub(super) async fn set(&self, key: &str, value: &str, ttl: Duration) -> Result<(), Error> {
        let mut set = redis::cmd("SET");
        set.arg(key)
            .arg(value)
            .arg("PX")
            .arg(ttl.as_millis() as u64);
        set.query_async(&mut self.connection().await?)
            .await
            .map_err(away)
    }

    pub(super) async fn del(&self, key: &str) -> Result<bool, Error> {
        self.connection().await?.del(key).await.map_err(away)
    }

    /// One for each call: tools are rare, and nothing else shares it.
    pub(super) async fn connection(&self) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = self.0.get_multiplexed_async_connection_with_config(&config);
        connection.await.map_err(away)
    }
}

fn away(error: RedisError) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the Redis of the tools does not do that now",
    )
    .with_source(error)
}
