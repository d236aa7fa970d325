use std::{
    fmt,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use reqwest::{Client, Url, redirect::Policy};
use tower_service::Service;

use super::addresses::{PublicOnly, is_public, refused};
use crate::{
    error::{Error, ErrorKind},
    provider::Endpoint,
};

/// How providers are connected to.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    connect_timeout: Duration,
    max_idle: usize,
    private: Private,
    proxy: Proxy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Private {
    Refused,
    Allowed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proxy {
    None,
    Environment,
}

impl Default for TransportConfig {
    /// Two seconds to connect, 128 idle connections per host, no private addresses, no proxy.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            max_idle: 128,
            private: Private::Refused,
            proxy: Proxy::None,
        }
    }
}

impl TransportConfig {
    /// Sets how long name resolution, connecting and TLS may take together. There is no other limit: time limits are a layer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many idle connections to one host are kept.
    #[must_use]
    pub fn max_idle(mut self, connections: usize) -> Self {
        self.max_idle = connections;
        self
    }

    /// Allows private, loopback, link-local and other special addresses, for models on one's own network.
    #[must_use]
    pub fn allow_private(mut self) -> Self {
        self.private = Private::Allowed;
        self
    }

    /// Goes through the proxy that the environment names. The proxy then resolves names, and private addresses behind it are
    /// its business.
    #[must_use]
    pub fn proxy_from_env(mut self) -> Self {
        self.proxy = Proxy::Environment;
        self
    }
}

/// An HTTP client for providers: pooled, HTTP/1.1 and 2, TLS by rustls. It follows no redirect and, unless allowed, connects to
/// no private address: names are checked after their resolution, addresses that stand in a URL before each request.
#[derive(Clone)]
pub struct ReqwestTransport {
    client: Client,
    private: Private,
}

impl ReqwestTransport {
    /// Builds the client.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if TLS cannot be set up, for want of root certificates for instance.
    pub fn new(config: &TransportConfig) -> Result<Self, Error> {
        let mut client = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(config.max_idle)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30));
        if config.proxy == Proxy::None {
            client = client.no_proxy();
        }
        if config.private == Private::Refused {
            client = client.dns_resolver(PublicOnly);
        }
        let client = client
            .build()
            .map_err(|e| Error::internal("the HTTP client cannot be built").with_source(e))?;
        Ok(Self {
            client,
            private: config.private,
        })
    }

    /// Whether `endpoint` may be asked, as far as its URL tells: a start-up check. Names are resolved, and checked, per connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if its host is a private address and those are not allowed.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let url = endpoint.uri("/")?.to_string();
        let url = Url::parse(&url).map_err(|_| Error::invalid("the base URL is no URL"))?;
        self.admit(&url)
    }

    /// Refuses URLs with a private address in them. It must see the parsed URL: `http://2130706433/` is loopback too.
    fn admit(&self, url: &Url) -> Result<(), Error> {
        if self.private == Private::Allowed {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        match literal.parse::<IpAddr>() {
            Ok(ip) if !is_public(ip) => Err(refused(host)),
            _ => Ok(()),
        }
    }
}

impl Service<Request<Bytes>> for ReqwestTransport {
    type Response = Response<TransportBody>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let request = reqwest::Request::try_from(request)
            .map_err(|e| Error::internal("the request has no valid URL").with_source(e))
            .and_then(|request| self.admit(request.url()).map(|()| request));
        let client = self.client.clone();
        Box::pin(async move {
            let response = client.execute(request?).await.map_err(translate)?;
            let response = Response::<reqwest::Body>::from(response);
            Ok(response.map(|inner| TransportBody { inner }))
        })
    }
}

impl fmt::Debug for ReqwestTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport")
            .field("private", &self.private)
            .finish_non_exhaustive()
    }
}

/// The body of a provider's answer, with our errors.
#[pin_project]
#[derive(Debug)]
pub struct TransportBody {
    #[pin]
    inner: reqwest::Body,
}

impl Body for TransportBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = self.project().inner.poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(translate)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Sorts a client error: never connected, too slow, or broken on the way.
fn translate(error: reqwest::Error) -> Error {
    if let Some(ours) = ours_within(&error) {
        return ours;
    }
    let (kind, message) = if error.is_connect() {
        (ErrorKind::Unavailable, "the provider cannot be reached")
    } else if error.is_timeout() {
        (ErrorKind::Timeout, "the provider did not answer in time")
    } else {
        (
            ErrorKind::Cut,
            "the connection to the provider broke before the end of its answer",
        )
    };
    Error::new(kind, message).with_source(error)
}

/// Our own error, raised below the client by the resolver.
fn ours_within(error: &reqwest::Error) -> Option<Error> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source())
        .find_map(|error| error.downcast_ref::<Error>())
        .cloned()
}
