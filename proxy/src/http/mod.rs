//! The edge ring: one file per route family, and the layers around them.

mod admission;
mod authenticate;
mod body;
pub(crate) mod decision;
mod error;
mod gate;
mod guard;
mod health;
pub(crate) mod metrics;
mod models;
mod openapi;
mod route;

use std::any::Any;

use axum::{
    Router,
    response::Response,
    routing::{MethodRouter, get, post, post_service},
};
use http::{HeaderName, Method, header};
use rungs::{Error, http::OpenAi};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

use crate::gateway::Gateway;

/// Paths that answer without a key, because probes have none. They tell states, not data.
pub(crate) const OPEN: [&str; 3] = ["/health", "/live", "/ready"];

/// Every route there is; `openapi.json` describes each of them.
fn routes(
    gateway: &Gateway,
    recorder: &metrics::Recorder,
) -> [(&'static str, MethodRouter<Gateway>); 11] {
    let live = gateway.live();
    let server = &live.config.server;
    let openai = OpenAi::new(gateway.ring(), admission::Admission::new(gateway.clone()))
        .body_limit(server.body_limit)
        .body_time(server.read_timeout)
        .ping(server.ping);
    [
        ("/v1/chat/completions", post_service(openai.clone())),
        ("/v1/embeddings", post_service(openai)),
        ("/v1/models", get(models::list)),
        ("/v1/models/{*id}", get(models::show)),
        ("/v1/route", post(route::route)),
        ("/v1/route/explain", post(decision::explain)),
        ("/openapi.json", get(openapi::document)),
        (
            "/metrics",
            get(metrics::render).with_state(recorder.clone()),
        ),
        ("/health", get(health::health)),
        ("/live", get(health::live)),
        ("/ready", get(health::ready)),
    ]
}

/// All routes, under the edge layers.
pub(crate) fn router(gateway: &Gateway, recorder: &metrics::Recorder) -> Router {
    let origins = gateway.live().config.server.cors_origins.clone();
    let cors = (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("idempotency-key"),
            ])
    });
    let routes = routes(gateway, recorder).into_iter();
    routes
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
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
                // A web page is not a local program, and whoever calls must be somebody: all below may rely on a principal.
                .layer(gate::GateLayer(gateway.clone())),
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
