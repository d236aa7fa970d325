//! `GET /v1/models`: what a key may ask for.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use rungs::{Error, ErrorKind};
use serde_json::{Value, json};

use super::error::respond;
use crate::{
    auth::Principal,
    gateway::{Gateway, Live},
};

pub(super) async fn list(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
) -> Json<Value> {
    Json(json!({ "object": "list", "data": cards(&gateway.live(), &principal) }))
}

/// The models that a principal may ask for.
pub(crate) fn cards(live: &Live, principal: &Principal) -> Vec<Value> {
    let names = live.catalog.names().filter(|name| principal.may_ask(name));
    names.filter_map(|name| card(live, name)).collect()
}

pub(super) async fn show(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    Path(id): Path<String>,
) -> Response {
    let live = gateway.live();
    match card(&live, &id).filter(|_| principal.may_ask(&id)) {
        Some(card) => Json(card).into_response(),
        None => respond(
            &Error::new(ErrorKind::NotFound, format!("there is no model `{id}`")).param("model"),
        ),
    }
}

/// OpenAI's model object, with what rungs knows beside it.
fn card(live: &Live, name: &str) -> Option<Value> {
    let targets = live.catalog.resolve(name)?;
    let first = targets.first().first()?;
    let one = targets.first().len() == 1;
    Some(json!({
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": if one { &*first.provider } else { "rungs" },
        "tiers": targets.tiers().collect::<Vec<_>>(),
        "context_window": targets.first().iter().filter_map(|d| d.context_window).max(),
    }))
}
