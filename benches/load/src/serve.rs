//! The accept loop shared by the upstream and the bare proxy.

use std::error::Error as StdError;

use anyhow::{Context, Result};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Announce `listening on http://<address>` and answer HTTP/1.1 requests until told to end.
pub(crate) async fn serve<F, Fut, B, E>(port: u16, answer: F) -> Result<()>
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| format!("listen on port {port}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let connections = TaskTracker::new();
    let mut end = signal(SignalKind::terminate())?;
    loop {
        let (stream, _) = select! {
            accepted = listener.accept() => accepted.context("accept a connection")?,
            _ = end.recv() => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let service = service_fn(answer.clone());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(connection);
    }
}
