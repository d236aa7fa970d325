//! The way to a provider: name, TCP and TLS.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower_service::Service;

use super::super::{TransportConfig, addresses::Private};
use crate::error::{BoxError, Error};

/// What is spoken over.
pub(super) type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Name resolution, TCP and TLS within one time limit, and only to where we may connect.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector<Resolver>>,
    private: Private,
    timeout: Duration,
}

impl Connector {
    /// # Errors
    /// If TLS cannot be set up.
    pub(super) fn new(config: &TransportConfig) -> Result<Self, Error> {
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
        Ok(Self {
            https,
            private: config.private,
            timeout: config.connect_timeout,
        })
    }

    /// A connection to the host of `uri`.
    pub(super) async fn connect(&self, uri: Uri) -> Result<Io, BoxError> {
        // An address in a URL is never resolved, so nobody else looks at it.
        self.private.admit(uri.host().unwrap_or_default())?;
        let mut https = self.https.clone();
        let connecting = async {
            std::future::poll_fn(|cx| https.poll_ready(cx)).await?;
            https.call(uri).await
        };
        tokio::time::timeout(self.timeout, connecting).await?
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
