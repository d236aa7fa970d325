//! The edge ring: one file per route family, and the layers around them.

mod admin;
pub(crate) mod admission;
mod ask;
mod authenticate;
mod body;
pub(crate) mod context;
pub(crate) mod decision;
mod error;
mod gate;
mod grant;
mod guard;
mod health;
pub(crate) mod metrics;
pub(crate) mod models;
mod oauth;
mod openapi;
mod progress;
mod todos;

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    response::Response,
    routing::{MethodRouter, get, get_service, post, post_service},
};
use http::{HeaderName, Method, header};
use rungs::{Error, http::OpenAi};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

pub(crate) use error::respond;
pub(crate) use grant::Grant;

use self::admin::{budgets, keys};
use crate::{gateway::Gateway, keys::Scope, mcp::http::Mcp};

/// A path, who may call it, and what answers there.
struct Route {
    path: &'static str,
    grant: Grant,
    methods: MethodRouter<Gateway>,
}

/// Every route there is; `openapi.json` describes each of them.
fn routes(gateway: &Gateway, recorder: &metrics::Recorder) -> Vec<Route> {
    let live = gateway.live();
    let server = &live.config.server;
    let openai = OpenAi::new(gateway.ring(), admission::Admission::new(gateway.clone()))
        .body_limit(server.body_limit)
        .body_time(server.read_timeout)
        .ping(server.ping);
    let chat = post_service(openai.clone());
    let metrics = get(metrics::render).with_state(recorder.clone());
    let context = get(context::show).delete(context::delete);
    let todos = get(todos::show).put(todos::put);
    let open = |path, methods| Route::new(path, Grant::Open, methods);
    let user = |path, scope, methods| Route::new(path, Grant::User(scope), methods);
    let any = |path, scope, methods| Route::new(path, Grant::Any(scope), methods);
    let admin = |path, methods| Route::new(path, Grant::Admin, methods);
    let mcp = Mcp::new(gateway);
    let mcp = get_service(mcp.clone())
        .post_service(mcp.clone())
        .delete_service(mcp);
    vec![
        user("/v1/chat/completions", Scope::Chat, chat),
        user("/v1/embeddings", Scope::Embeddings, post_service(openai)),
        any("/v1/models", Scope::Models, get(models::list)),
        any("/v1/models/{*id}", Scope::Models, get(models::show)),
        user("/v1/chat", Scope::Chat, post(ask::ask)),
        user("/v1/route", Scope::Route, post(ask::ask)),
        user("/v1/route/explain", Scope::Route, post(decision::explain)),
        user("/v1/context/{id}", Scope::Conversations, context),
        user("/v1/todos/{id}", Scope::Conversations, todos),
        Route::new("/mcp", Grant::Mcp, mcp),
        open(oauth::METADATA, get(oauth::metadata)),
        open(oauth::METADATA_OF_MCP, get(oauth::metadata)),
        any("/openapi.json", Scope::Openapi, get(openapi::document)),
        any("/metrics", Scope::Metrics, metrics),
        admin("/admin/v1/keys", get(keys::list).post(keys::create)),
        admin("/admin/v1/keys/{id}", get(keys::show).patch(keys::patch)),
        admin("/admin/v1/keys/{id}/rotate", post(keys::rotate)),
        admin("/admin/v1/keys/{id}/revoke", post(keys::revoke)),
        admin("/admin/v1/budgets", get(budgets::list)),
        open("/health", get(health::health)),
        open("/live", get(health::live)),
        open("/ready", get(health::ready)),
    ]
}

impl Route {
    fn new(path: &'static str, grant: Grant, methods: MethodRouter<Gateway>) -> Self {
        Self {
            path,
            grant,
            methods,
        }
    }
}

/// All routes, under the edge layers.
pub(crate) fn router(gateway: &Gateway, recorder: &metrics::Recorder) -> Router {
    let origins = gateway.live().config.server.cors_origins.clone();
    let cors = (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("idempotency-key"),
                HeaderName::from_static("x-rungs-conversation"),
                HeaderName::from_static("last-event-id"),
                HeaderName::from_static("mcp-method"),
                HeaderName::from_static("mcp-name"),
                HeaderName::from_static("mcp-protocol-version"),
                HeaderName::from_static("mcp-session-id"),
            ])
            .expose_headers([HeaderName::from_static("mcp-session-id")])
    });
    let routes = routes(gateway, recorder);
    let grants = routes
        .iter()
        .map(|route| (route.path, route.grant))
        .collect();
    let gate = gate::GateLayer {
        gateway: gateway.clone(),
        grants: Arc::new(grants),
    };
    routes
        .into_iter()
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.methods)
        })
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(gateway.clone())
        .layer(
            ServiceBuilder::new()
                // One request that breaks the gateway must not break the others.
                .layer(CatchPanicLayer::custom(panicked))
                // Answers preflights of the listed origins. None are listed unless the configuration says so: then there is no CORS.
                .option_layer(cors)
                // A web page is not a local program, whoever calls must be somebody, and no route is open to everybody who is: all
                // below may rely on a principal that may call it.
                .layer(gate),
        )
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(what, "a request made the gateway panic");
    error::respond(&Error::internal("the gateway failed on this request"))
}

#[cfg(test)]
mod tests;
