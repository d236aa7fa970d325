//! Straight to the provider, over hyper's client.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Map},
};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use thread_local::ThreadLocal;
use tokio::net::TcpStream;
use tower_service::Service;

use super::{
    TransportBody, TransportConfig,
    addresses::Private,
    error::{Stage, translate},
};
use crate::{
    error::{BoxError, Error},
    provider::Endpoint,
};

/// An HTTP client for providers that goes straight to them. Names are checked after their resolution, addresses that stand in a
/// URL before the connection.
#[derive(Clone)]
pub struct HyperTransport {
    /// Behind a pointer: stacks are cloned for each call, and clients are large.
    pools: Arc<Pools>,
    private: Private,
}

impl HyperTransport {
    /// Builds the client.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if TLS cannot be set up, for want of root certificates for instance.
    pub fn new(config: &TransportConfig) -> Result<Self, Error> {
        let mut http = HttpConnector::new_with_resolver(Resolver(config.private));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(30)));
        let https = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(|e| Error::internal("TLS cannot be set up").with_source(e))?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let connector = Connector {
            https,
            private: config.private,
            timeout: config.connect_timeout,
        };
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(config.max_idle)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(Duration::from_secs(20));
        let pools = match config.pool_per_thread {
            true => Pools::EachThread(Box::new((client, connector)), ThreadLocal::new()),
            false => Pools::One(client.build(connector)),
        };
        Ok(Self {
            pools: Arc::new(pools),
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

type HttpClient = Client<Connector, Full<Bytes>>;

/// Connections that wait for their next request.
enum Pools {
    One(HttpClient),
    /// What a thread that has none yet makes its own from.
    EachThread(Box<(legacy::Builder, Connector)>, ThreadLocal<HttpClient>),
}

impl Pools {
    fn client(&self) -> &HttpClient {
        match self {
            Self::One(client) => client,
            Self::EachThread(parts, clients) => {
                let (builder, connector) = &**parts;
                clients.get_or(|| builder.build(connector.clone()))
            }
        }
    }
}

type Answering =
    Map<legacy::ResponseFuture, fn(Result<Response<Incoming>, legacy::Error>) -> Answer>;
type Answer = Result<Response<TransportBody<Incoming>>, Error>;

impl Service<Request<Bytes>> for HyperTransport {
    type Response = Response<TransportBody<Incoming>>;
    type Error = Error;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        self.pools
            .client()
            .request(request.map(Full::new))
            .map(answer)
    }
}

fn answer(result: Result<Response<Incoming>, legacy::Error>) -> Answer {
    match result {
        Ok(response) => Ok(response.map(TransportBody::new)),
        Err(error) => {
            let stage = match error.is_connect() {
                true => Stage::Connecting,
                false => Stage::Connected,
            };
            Err(translate(error, stage))
        }
    }
}

/// Name resolution, TCP and TLS within one time limit, and only to where we may connect.
#[derive(Clone)]
struct Connector {
    https: HttpsConnector<HttpConnector<Resolver>>,
    private: Private,
    timeout: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // An address in a URL is never resolved, so nobody else looks at it.
        let admitted = self.private.admit(uri.host().unwrap_or_default());
        let connecting = tokio::time::timeout(self.timeout, self.https.call(uri));
        Box::pin(async move {
            admitted?;
            connecting.await?
        })
    }
}

/// Resolves names to addresses that we may connect to.
#[derive(Clone)]
struct Resolver(Private);

type Resolved = BoxFuture<'static, Result<std::vec::IntoIter<SocketAddr>, BoxError>>;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Resolved;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolved {
        let private = self.0;
        Box::pin(async move { private.resolve(name.as_str()).await })
    }
}

impl fmt::Debug for HyperTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport")
            .field("private", &self.private)
            .finish_non_exhaustive()
    }
}
