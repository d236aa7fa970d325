//! The edge ring: one file per route family, and the layers around them.

mod admin;
pub(crate) mod admission;
mod ask;
mod authenticate;
mod body;
mod code_agent;
pub(crate) mod context;
pub(crate) mod decision;
mod elsewhere;
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
mod surface;
mod todos;

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, get, get_service, post, post_service},
};
use foldhash::HashMap;
use http::{HeaderName, HeaderValue, Method, header};
use rungs::{
    http::{OpenAi, fact_names},
    swap::Swap,
};
use tower::ServiceBuilder;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub(crate) use error::respond;
pub(crate) use grant::Grant;
pub(crate) use surface::Surface;

use self::{
    admin::{budgets, keys},
    admission::Admission,
    gate::{GateLayer, Grants},
    surface::Ways,
};
use crate::{gateway::Gateway, keys::Scope, mcp::http::Mcp};

/// A path, who may call it, and what answers there.
struct Route {
    path: &'static str,
    grant: Grant,
    methods: MethodRouter<Gateway>,
}

/// Every route there is; `openapi.json` describes each of them.
fn routes(gateway: &Gateway, recorder: &metrics::Recorder) -> Vec<Route> {
    let openai = openai(gateway);
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
        user(surface::CHAT, Scope::Chat, chat),
        user(surface::EMBEDDINGS, Scope::Embeddings, post_service(openai)),
        any("/v1/models", Scope::Models, get(models::list)),
        any("/v1/models/{*id}", Scope::Models, get(models::show)),
        user("/v1/chat", Scope::Chat, post(ask::ask)),
        user("/v1/route", Scope::Route, post(ask::ask)),
        user("/v1/route/explain", Scope::Route, post(decision::explain)),
        user("/v1/context/{id}", Scope::Conversations, context),
        user("/v1/todos/{id}", Scope::Conversations, todos),
        user("/v1/code-agent", Scope::Agent, post(code_agent::run)),
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

/// The surface of the library over the rings of this gateway.
fn openai(gateway: &Gateway) -> OpenAi<Swap, Admission> {
    let live = gateway.live();
    let server = &live.config.server;
    OpenAi::new(gateway.ring(), Admission::new(gateway.clone()))
        .body_limit(server.body_limit)
        .body_time(server.read_timeout)
        .ping(server.ping)
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

/// Everything that is served, under the edge layers.
pub(crate) fn surface(gateway: &Gateway, recorder: &metrics::Recorder) -> Surface {
    let origins = gateway.live().config.server.cors_origins.clone();
    let cors = (!origins.is_empty()).then(|| cors(origins));
    // A web page is not a local program, whoever calls must be somebody, and no route is open to everybody who is: all below may
    // rely on a principal that may call it.
    let gate = |grants| {
        let gate = GateLayer {
            gateway: gateway.clone(),
            grants,
        };
        // Answers preflights of the listed origins. None are listed unless the configuration says so: then there is no CORS.
        ServiceBuilder::new().option_layer(cors.clone()).layer(gate)
    };
    let routes = routes(gateway, recorder);
    let grants: HashMap<_, _> = routes.iter().map(|r| (r.path, r.grant)).collect();
    let calls = |path| {
        let gate = gate(Grants::Of(grants.get(path).copied()));
        gate.service(surface::operation(openai(gateway)))
    };
    let (chat, embeddings) = (calls(surface::CHAT), calls(surface::EMBEDDINGS));
    let router = routes
        .into_iter()
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.methods)
        })
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(gateway.clone())
        .layer(gate(Grants::ByPath(Arc::new(grants))));
    Surface::new(Ways {
        chat,
        embeddings,
        router,
    })
}

fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    let session = HeaderName::from_static("mcp-session-id");
    let allowed = [
        header::AUTHORIZATION,
        HeaderName::from_static("x-api-key"),
        header::CONTENT_TYPE,
        HeaderName::from_static("last-event-id"),
        HeaderName::from_static("mcp-method"),
        HeaderName::from_static("mcp-name"),
        HeaderName::from_static("mcp-protocol-version"),
        session.clone(),
    ];
    let allowed: Vec<_> = allowed.into_iter().chain(admission::names()).collect();
    let exposed: Vec<_> = { fact_names() }
        .chain([header::RETRY_AFTER, session])
        .collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(allowed)
        .expose_headers(exposed)
}

#[cfg(test)]
mod tests;
