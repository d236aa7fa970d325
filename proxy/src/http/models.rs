//! `GET /v1/models`: what a key may ask for, and reaches.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use rungs::{
    Error,
    catalog::{Targets, Tier},
};
use serde_json::{Value, json};

use super::{
    admission::{resolve, too_high},
    context::Id,
    error::respond,
};
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

/// The models that a principal may ask for, and reaches.
pub(crate) fn cards(live: &Live, principal: &Principal) -> Vec<Value> {
    let ceiling = live.ceiling(principal);
    let names = live.catalog.names().filter(|name| principal.may_ask(name));
    names
        .filter_map(|name| card(name, live.catalog.resolve(name)?, ceiling))
        .collect()
}

pub(super) async fn show(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    id: Id,
) -> Response {
    shown(&gateway.live(), &principal, id)
        .map_or_else(|error| respond(&error), |card| Json(card).into_response())
}

fn shown(live: &Live, principal: &Principal, id: Id) -> Result<Value, Error> {
    let Path(id) = id.map_err(|_| Error::invalid("the id in the path is no text"))?;
    let ceiling = live.ceiling(principal);
    let targets = resolve(live, principal, &id)?;
    card(&id, &targets, ceiling).ok_or_else(|| {
        let lowest = targets.first().iter().map(|d| d.tier).min();
        too_high(lowest.unwrap_or(ceiling), ceiling)
    })
}

/// OpenAI's model object, with what rungs knows beside it, for who reaches up to `ceiling`; `None` if that is below all of it.
fn card(name: &str, targets: &Targets, ceiling: Tier) -> Option<Value> {
    let reached = || targets.first().iter().filter(|d| d.tier <= ceiling);
    let first = reached().next()?;
    let one = reached().count() == 1;
    let tiers = targets.tiers().filter(|tier| *tier <= ceiling);
    Some(json!({
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": if one { &*first.provider } else { "rungs" },
        "tiers": tiers.collect::<Vec<_>>(),
        "context_window": reached().filter_map(|d| d.context_window).max(),
    }))
}
