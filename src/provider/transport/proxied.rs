//! Through reqwest, which knows the system's proxies.

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use reqwest::{
    Client, ClientBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use tower_service::Service;

use super::{
    TransportBody, TransportConfig,
    addresses::Private,
    error::{Stage, translate},
};
use crate::{error::Error, provider::Endpoint};

impl Resolve for Private {
    fn resolve(&self, name: Name) -> Resolving {
        let private = *self;
        Box::pin(async move { Ok(Box::new(private.resolve(name.as_str()).await?) as Addrs) })
    }
}

/// An HTTP client for providers that uses the environment's proxies. Names are checked after their resolution, addresses that stand
/// in a URL before each request.
#[derive(Clone)]
pub struct ReqwestTransport {
    client: Client,
    private: Private,
}

impl ReqwestTransport {
    /// Builds the client. It takes the proxies of the environment (`HTTPS_PROXY` and its like); through one of them the proxy, and
    /// not this client, resolves names and connects.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if TLS cannot be set up, for want of root certificates for instance.
    pub fn new(config: &TransportConfig) -> Result<Self, Error> {
        let client = built(config.builder())?;
        Ok(Self {
            client,
            private: config.private,
        })
    }

    /// Whether `endpoint` may be asked, as far as its URL tells: a start-up check. Names are resolved, and checked, per connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if its host is a private address and those are not allowed.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let url = endpoint.uri("/")?.to_string();
        let url =
            reqwest::Url::parse(&url).map_err(|_| Error::invalid("the base URL is no URL"))?;
        self.private.admit(url.host_str().unwrap_or_default())
    }
}

impl TransportConfig {
    /// A client under the same rules for who speaks to a server of another kind, at `url` and nowhere else: it goes straight there,
    /// follows no redirect, and checks the addresses that names have.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the URL's host is a private address and those are not allowed,
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if TLS cannot be set up.
    pub fn reqwest_client(&self, url: &Uri) -> Result<Client, Error> {
        let url = reqwest::Url::parse(&url.to_string());
        let url = url.map_err(|_| Error::invalid("the URL of a server is no URL"))?;
        self.private.admit(url.host_str().unwrap_or_default())?;
        built(self.builder().no_proxy())
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .pool_max_idle_per_host(self.max_idle)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .dns_resolver(self.private)
    }
}

fn built(builder: ClientBuilder) -> Result<Client, Error> {
    let client = builder.build();
    client.map_err(|e| Error::internal("the HTTP client cannot be built").with_source(e))
}

impl Service<Request<Bytes>> for ReqwestTransport {
    type Response = Response<TransportBody<reqwest::Body>>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        // The parsed URL is looked at: `http://2130706433/` is loopback too.
        let request = reqwest::Request::try_from(request)
            .map_err(|e| Error::internal("the request has no valid URL").with_source(e))
            .and_then(|request| {
                let host = request.url().host_str().unwrap_or_default();
                self.private.admit(host).map(|()| request)
            });
        let client = self.client.clone();
        Box::pin(async move {
            let response = client.execute(request?).await.map_err(|error| {
                let stage = match error.is_connect() {
                    true => Stage::Connecting,
                    false => Stage::Connected,
                };
                translate(error, stage)
            })?;
            Ok(Response::<reqwest::Body>::from(response).map(TransportBody::new))
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
