use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tower::ServiceExt;

use super::Scripted;
use crate::{
    error::{Error, ErrorKind},
    http::OpenAi,
    json::RawObject,
    model::{BoxModelService, Call, CallContext, ModelRequest, Operation, RouteHint},
};

/// A scripted provider on a real socket: speaks OpenAI's dialect over HTTP on a free port of the loopback address.
///
/// Each model name has its own [`Scripted`], which keeps script, bill and log. The server stops when this is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Upstream {
    /// Serves these models, each under its deployment's upstream name.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn serve(models: impl IntoIterator<Item = Scripted>) -> io::Result<Self> {
        let models = models
            .into_iter()
            .map(|s| (s.deployment().upstream.to_string(), s));
        let surface = OpenAi::new(
            by_name(models.collect()),
            |_: &_, _: Operation, _: &RawObject| {
                Ok((
                    CallContext::new(Call::new("upstream")),
                    RouteHint::default(),
                ))
            },
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let surface = TowerToHyperService::new(surface.ping(Duration::ZERO));
        #[expect(
            clippy::disallowed_methods,
            reason = "aborted when the upstream is dropped"
        )]
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                let surface = surface.clone();
                connections.spawn(async move {
                    let connection = auto::Builder::new(TokioExecutor::new());
                    // A broken connection is the other side's affair.
                    let _ = connection
                        .serve_connection(TokioIo::new(socket), surface)
                        .await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, server })
    }

    /// The base URL for a provider's configuration, ending in `/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn by_name(models: HashMap<String, Scripted>) -> BoxModelService {
    let models = Arc::new(models);
    BoxModelService::new(tower::service_fn(move |request: ModelRequest| {
        let models = Arc::clone(&models);
        async move {
            let name: String = request.body.get_as("model")?.unwrap_or_default();
            let unknown = || Error::new(ErrorKind::NotFound, format!("there is no model `{name}`"));
            models
                .get(&name)
                .ok_or_else(unknown)?
                .clone()
                .oneshot(request)
                .await
        }
    }))
}
