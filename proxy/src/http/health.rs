//! Probes. Liveness depends on nothing, readiness on the models being configured and on the process's own disk; neither ever calls a
//! model.

use axum::{Json, extract::State};
use http::StatusCode;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::gateway::Gateway;

pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(super) async fn ready(State(gateway): State<Gateway>) -> (StatusCode, Json<Value>) {
    let live = gateway.live();
    let models = live.catalog.deployments().len();
    if models == 0 {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "no models are configured" })),
        );
    }
    // Its own disk is nobody else's: calls that cost something are better off with another process.
    if !gateway.state().ledger.has_room() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "the ledger cannot be written" })),
        );
    }
    let broken = gateway.state().broken().len();
    // Nothing needs Redis: without it the gateway is slower to agree with others, and ready all the same.
    let redis = gateway.state().redis_is_up();
    // Leases and the journal bridge a while without the database; then paid calls are refused, and this process is as good as any.
    let database = gateway.state().shared_database_is_up();
    let status = status(broken == 0 && database != Some(false), redis);
    let database = database.map(|up| if up { "up" } else { "away" });
    let redis = redis.map(|up| if up { "up" } else { "away" });
    (
        StatusCode::OK,
        Json(
            json!({ "status": status, "models": models, "broken": broken, "redis": redis, "database": database }),
        ),
    )
}

fn status(whole: bool, redis: Option<bool>) -> &'static str {
    match whole && redis != Some(false) {
        true => "ok",
        false => "degraded",
    }
}

/// The shape of the original: whether the hot and the cold store are there.
pub(super) async fn health(State(gateway): State<Gateway>) -> Json<Value> {
    let broken = gateway.state().broken();
    let database =
        gateway.state().shared_database_is_up() != Some(false) && gateway.state().ledger.has_room();
    let redis = gateway.state().redis_is_up();
    Json(json!({
        "status": status(broken.is_empty() && database, redis),
        "redis": redis == Some(true),
        "database": gateway.state().has_database() && database,
        "timestamp": OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}
