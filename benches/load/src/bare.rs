//! The baseline: a reverse proxy that forwards and does nothing else.

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Args;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::serve::serve;

/// Where the bare proxy listens and where it forwards to.
#[derive(Args)]
pub(crate) struct Options {
    /// Port on the loopback interface; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Upstream address, for example 127.0.0.1:9000.
    #[arg(long)]
    upstream: Authority,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let Options { port, upstream } = options;
    serve(port, move |request| {
        forward(client.clone(), upstream.clone(), request)
    })
    .await
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Either<Incoming, Full<Bytes>>>> {
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(upstream);
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = uri
        .path_and_query(path.context("a request has a path")?)
        .build()?;
    request.headers_mut().remove(header::HOST);
    Ok(match client.request(request).await {
        Ok(response) => response.map(Either::Left),
        Err(error) => {
            let mut response = Response::new(Either::Right(Full::from(error.to_string())));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    })
}
