use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bb8_redis::bb8::ManageConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use tokio::{sync::Mutex, time::timeout};

use super::url::Place;

/// Makes connections for the pool. It retries nothing: whoever asked has a time limit, and what comes after it is the breaker's.
pub(super) struct Connector {
    way: Way,
    patience: Duration,
    generation: Arc<AtomicU64>,
}

enum Way {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
    Sentinel(Box<Mutex<SentinelClient>>),
}

/// A connection of the pool.
pub(super) struct Connection {
    wire: Wire,
    generation: u64,
    /// Whether an answer is awaited. A connection that is given back so was given up: what it still brings is nobody's.
    pub(super) busy: bool,
}

enum Wire {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connector {
    /// Connections to `place`, each made within `patience`. Those of an older `generation` are not used any more.
    pub(super) fn new(
        place: &Place,
        patience: Duration,
        generation: Arc<AtomicU64>,
    ) -> Result<Self, RedisError> {
        let way = match place {
            Place::One(info) => Way::One(Box::new(Client::open((**info).clone())?)),
            Place::Cluster(nodes) => {
                let builder = ClusterClient::builder(nodes.clone())
                    .connection_timeout(patience)
                    .response_timeout(patience)
                    // The one that follows a redirection: a slot that has moved has done nothing yet.
                    .retries(1);
                Way::Cluster(Box::new(builder.build()?))
            }
            Place::Sentinel {
                sentinels,
                master,
                login,
            } => {
                let login = (**login).clone().into_connection_info()?;
                let node = SentinelNodeConnectionInfo::default()
                    .set_redis_connection_info(login.redis_settings().clone());
                let client = SentinelClient::build(
                    sentinels.clone(),
                    master,
                    Some(node),
                    SentinelServerType::Master,
                )?;
                Way::Sentinel(Box::new(Mutex::new(client)))
            }
        };
        Ok(Self {
            way,
            patience,
            generation,
        })
    }

    async fn wire(&self) -> Result<Wire, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(None);
        match &self.way {
            Way::One(client) => {
                let connection = client.get_multiplexed_async_connection_with_config(&config);
                connection.await.map(Wire::One)
            }
            Way::Cluster(client) => client.get_async_connection().await.map(Wire::Cluster),
            Way::Sentinel(client) => {
                let mut client = client.lock().await;
                let connection = client.get_async_connection_with_config(&config);
                connection.await.map(Wire::One)
            }
        }
    }
}

impl ManageConnection for Connector {
    type Connection = Connection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Connection, RedisError> {
        let generation = self.generation.load(Ordering::Relaxed);
        let wire = timeout(self.patience, self.wire()).await;
        let wire = wire.unwrap_or_else(|_| Err((ErrorKind::Io, "no connection in time").into()))?;
        Ok(Connection {
            wire,
            generation,
            busy: false,
        })
    }

    /// Asks nobody: a round trip before each round trip would double the wait.
    async fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        match connection.generation == self.generation.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err((ErrorKind::Io, "a connection from before an outage").into()),
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.busy
    }
}

impl Connection {
    /// Whether commands for different keys may go in one pipeline.
    pub(super) fn pipelines(&self) -> bool {
        matches!(self.wire, Wire::One(_))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match &mut self.wire {
            Wire::One(connection) => connection.req_packed_command(cmd),
            Wire::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match &mut self.wire {
            Wire::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Wire::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match &self.wire {
            Wire::One(connection) => connection.get_db(),
            Wire::Cluster(connection) => connection.get_db(),
        }
    }
}
