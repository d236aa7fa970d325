//! `POST /v1/route/explain`: the decision about a call, without calling anybody.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use rungs::{Error, model::ModelRequest, route::Decision};
use serde_json::{Value, json};

use super::{
    admission::{Wishes, admit},
    body::read_object,
    error::respond,
};
use crate::{auth::Principal, config::AUTO, gateway::Gateway};

pub(super) async fn explain(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    request: http::Request<Body>,
) -> Response {
    match decide(&gateway, &principal, request).await {
        Ok(decision) => Json(decision_value(&decision)).into_response(),
        Err(error) => respond(&error),
    }
}

async fn decide(
    gateway: &Gateway,
    principal: &Principal,
    request: http::Request<Body>,
) -> Result<Decision, Error> {
    let live = gateway.live();
    let (head, body) = read_object(&live, request).await?;
    let model: String = body.get_as("model")?.unwrap_or_else(|| AUTO.to_owned());
    let admitted = admit(&live, principal, &model, Wishes::of(&head.headers)?)?;
    let request = ModelRequest::chat(body, admitted.ctx).route(admitted.route);
    Ok(live.route.decide(&request))
}

/// A decision as JSON.
pub(crate) fn decision_value(decision: &Decision) -> Value {
    let candidates = decision.candidates.iter().map(|c| {
        json!({ "deployment": c.deployment.id, "model": &*c.deployment.model, "tier": c.deployment.tier, "fallback": c.fallback })
    });
    let skipped = decision
        .skipped
        .iter()
        .map(|(id, why)| json!({ "deployment": id, "why": why }));
    json!({
        "class": decision.class,
        "start": decision.start,
        "candidates": candidates.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
    })
}
