//! `/mcp`: MCP over streamable HTTP.
//!
//! The revision of 2026-07-28 has no sessions: each request stands alone, and closing its stream cancels what it started. Clients of
//! older revisions get sessions, which belong to their key.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::IntoResponse};
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Method, Request, Response, Uri};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rungs::{Error, http::read_body};
use tower::Service;

use super::{
    Served,
    connection::Who,
    served,
    server::Server,
    sessions::{CALLER, Owner, Sessions},
};
use crate::{auth::Principal, config::Config, gateway::Gateway, http::respond, tools};

/// The service behind `/mcp`. It stands below the gate, which has checked Host, Origin and the caller.
#[derive(Clone)]
pub(crate) struct Mcp {
    service: StreamableHttpService<Served, Sessions>,
    sessions: Arc<Sessions>,
    limits: Limits,
}

/// Those of a message's body.
#[derive(Clone, Copy)]
struct Limits {
    bytes: usize,
    time: Duration,
}

impl Mcp {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        let live = gateway.live();
        let mcp = &live.config.mcp;
        let toolbox = Arc::new(tools::all(gateway));
        let server = Server::new(gateway.clone(), toolbox, Who::EachRequest);
        let sessions = Sessions::new(mcp.max_sessions, mcp.session_ttl);
        let service = StreamableHttpService::new(
            move || Ok(served(server.anew())),
            Arc::clone(&sessions),
            settings(&live.config, gateway),
        );
        let limits = Limits {
            bytes: live.config.server.body_limit,
            time: live.config.server.read_timeout,
        };
        Self {
            service,
            sessions,
            limits,
        }
    }
}

/// A request whose body is there in full: rmcp would wait for it without an end.
async fn read(request: Request<Body>, limits: Limits) -> Result<Request<Body>, Error> {
    if request.method() != Method::POST {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let bytes = read_body(&head.headers, body, limits.bytes, limits.time).await?;
    Ok(Request::from_parts(head, Body::from(bytes)))
}

fn settings(config: &Config, gateway: &Gateway) -> StreamableHttpServerConfig {
    const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    let hosts = LOCAL
        .into_iter()
        .chain(config.mcp.hosts.iter().map(String::as_str));
    let own = hosts
        .clone()
        .flat_map(|host| ["http", "https"].map(|scheme| format!("{scheme}://{host}:*")));
    let pages = config.server.cors_origins.iter().filter_map(with_port);
    // The gate is stricter, and this the second wall.
    StreamableHttpServerConfig::default()
        .with_allowed_hosts(hosts)
        .with_allowed_origins(own.chain(pages))
        .enforce_origin_validation()
        .with_json_response(true)
        .with_max_request_body_bytes(config.server.body_limit)
        .with_sse_keep_alive(Some(config.server.ping).filter(|ping| !ping.is_zero()))
        .with_cancellation_token(gateway.state().ending.clone())
}

/// An origin with its port, which rmcp wants.
fn with_port(origin: &HeaderValue) -> Option<String> {
    let uri: Uri = origin.to_str().ok()?.parse().ok()?;
    let port = uri.port_u16().unwrap_or(match uri.scheme_str()? {
        "http" => 80,
        _ => 443,
    });
    Some(format!("{}://{}:{port}", uri.scheme_str()?, uri.host()?))
}

impl Service<Request<Body>> for Mcp {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(principal) = request.extensions().get::<Arc<Principal>>() else {
            let error = Error::internal("a request came past authentication");
            return std::future::ready(Ok(respond(&error))).boxed();
        };
        let owner = Owner::of(principal);
        request.extensions_mut().insert(Arc::clone(&self.sessions));
        let (mut service, limits) = (self.service.clone(), self.limits);
        CALLER
            .scope(owner, async move {
                match read(request, limits).await {
                    Ok(request) => Ok(service.call(request).await?.into_response()),
                    Err(error) => Ok(respond(&error)),
                }
            })
            .boxed()
    }
}
