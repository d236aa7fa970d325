//! `/mcp`: MCP over streamable HTTP.
//!
//! The revision of 2026-07-28 has no sessions: each request stands alone, and closing its stream cancels what it started. Clients of
//! older revisions get sessions, which belong to their key.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::IntoResponse};
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Request, Response};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower::Service;

use super::{
    Served, served,
    server::{Server, Who},
    sessions::{CALLER, Owner, Sessions},
};
use crate::{auth::Principal, config::Config, gateway::Gateway, http::respond, tools};

/// The service behind `/mcp`. It stands below the gate, which has checked Host, Origin and the caller.
#[derive(Clone)]
pub(crate) struct Mcp(StreamableHttpService<Served, Sessions>);

impl Mcp {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        let live = gateway.live();
        let mcp = &live.config.mcp;
        let toolbox = Arc::new(tools::all(gateway));
        let server = Server::new(gateway.clone(), toolbox, Who::EachRequest);
        let sessions = Sessions::new(mcp.max_sessions, mcp.session_ttl);
        Self(StreamableHttpService::new(
            move || Ok(served(server.anew())),
            Arc::new(sessions),
            settings(&live.config, gateway),
        ))
    }
}

fn settings(config: &Config, gateway: &Gateway) -> StreamableHttpServerConfig {
    let listed = config.server.cors_origins.iter().map(HeaderValue::to_str);
    let own = ["localhost", "127.0.0.1", "[::1]"];
    let hosts = config.mcp.hosts.iter().map(String::as_str);
    let origins = own.iter().copied().chain(hosts.clone());
    let origins =
        origins.flat_map(|host| ["http", "https"].map(|scheme| format!("{scheme}://{host}:*")));
    // The gate is stricter, and this the second wall.
    let mut settings = StreamableHttpServerConfig::default()
        .with_allowed_hosts(own.into_iter().chain(hosts))
        .with_allowed_origins(origins.chain(listed.flatten().map(str::to_owned)))
        .enforce_origin_validation()
        .with_json_response(true)
        .with_max_request_body_bytes(config.server.body_limit)
        .with_cancellation_token(gateway.state().ending.clone());
    if config.server.ping.is_zero() {
        settings = settings.with_sse_keep_alive(None);
    } else {
        settings = settings.with_sse_keep_alive(Some(config.server.ping));
    }
    settings
}

impl Service<Request<Body>> for Mcp {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(principal) = request.extensions().get::<Arc<Principal>>() else {
            let error = rungs::Error::internal("a request came past authentication");
            return std::future::ready(Ok(respond(&error))).boxed();
        };
        let owner = Owner::of(principal);
        let answering = self.0.call(request);
        CALLER
            .scope(owner, async { Ok(answering.await?.into_response()) })
            .boxed()
    }
}
