//! Straight to the provider, over hyper's connections.

mod answer;
mod connect;
mod driven;
mod pool;
mod shared;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use thread_local::ThreadLocal;
use tower_service::Service;

pub use self::answer::AnswerBody;
use self::{connect::Connector, pool::Pool};
use super::{TransportBody, TransportConfig, addresses::Private};
use crate::{error::Error, provider::Endpoint};

/// An HTTP client for providers that goes straight to them. Names are checked after their resolution, addresses that stand in a
/// URL before the connection.
///
/// A connection that speaks HTTP/1.1 is driven by the call that it carries: whoever reads the answer reads from the socket, and
/// whoever drops it closes the connection. One that speaks HTTP/2 is shared and has a task; calls that it has no room for open another,
/// and what its host has done nothing about is asked again.
#[derive(Clone)]
pub struct HyperTransport {
    pools: Pools,
    private: Private,
}

impl HyperTransport {
    /// Builds the client.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if TLS cannot be set up, for want of root certificates for instance.
    pub fn new(config: &TransportConfig) -> Result<Self, Error> {
        let connector = Connector::new(config)?;
        let max_idle = config.max_idle;
        let pools = match config.pool_per_thread {
            true => Pools::EachThread(Arc::new(EachThread {
                connector,
                max_idle,
                pools: ThreadLocal::new(),
            })),
            false => Pools::One(Arc::new(Pool::new(connector, max_idle))),
        };
        Ok(Self {
            pools,
            private: config.private,
        })
    }

    /// Whether `endpoint` may be asked, as far as its URL tells: a start-up check. Names are resolved, and checked, per connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if its host is a private address and those are not allowed.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.private
            .admit(endpoint.uri("/")?.host().unwrap_or_default())
    }
}

/// Where connections wait for their next call.
#[derive(Clone)]
enum Pools {
    One(Arc<Pool>),
    EachThread(Arc<EachThread>),
}

struct EachThread {
    /// Of these, a thread that has no pool yet makes its own.
    connector: Connector,
    max_idle: usize,
    pools: ThreadLocal<Pool>,
}

impl Pools {
    fn here(&self) -> &Pool {
        match self {
            Self::One(pool) => pool,
            Self::EachThread(each) => each
                .pools
                .get_or(|| Pool::new(each.connector.clone(), each.max_idle)),
        }
    }
}

impl Service<Request<Bytes>> for HyperTransport {
    type Response = Response<TransportBody<AnswerBody>>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let host = self.pools.here().host(request.uri());
        Box::pin(async move { answer::ask(host?, request).await })
    }
}

impl fmt::Debug for HyperTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport")
            .field("private", &self.private)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
