//! `/admin/v1/keys`: the verbs of [`keys`](crate::keys), over HTTP. What a body may say is the members of its type, and no other.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use http::{Request, StatusCode};
use rungs::Error;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use super::answer;
use crate::{
    gateway::Gateway,
    http::body::read_as,
    keys::{Age, Books, Issued, KeyView, NewKey, Terms},
};

/// The id in a path, where it is text at all.
type Id = Result<Path<String>, PathRejection>;

/// What a rotation may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    /// How long the old secret opens after it.
    grace: Option<Age>,
}

/// What says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

/// Tells that a key has changed when it is dropped: also if the client leaves before it is told, or what has changed cannot be shown.
struct Changed<'a>(&'a Gateway, &'a str);

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.0.key_changed(self.1);
    }
}

async fn changing<T>(
    gateway: &Gateway,
    id: &str,
    change: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let _changed = Changed(gateway, id);
    change.await
}

/// A key with its secret, this once.
#[derive(Serialize)]
struct IssuedView {
    key: String,
    #[serde(flatten)]
    view: KeyView,
}

pub(in crate::http) async fn list(State(gateway): State<Gateway>) -> Response {
    let listed = async {
        let keys = gateway.registry().list().await?;
        let views = KeyView::all(keys, &books(&gateway)).await?;
        Ok(json!({ "object": "list", "data": views }))
    };
    answer(StatusCode::OK, listed.await)
}

pub(in crate::http) async fn show(State(gateway): State<Gateway>, id: Id) -> Response {
    let shown = async {
        let key = gateway.registry().show(&of(id)?).await?;
        KeyView::of(key, &books(&gateway)).await
    };
    answer(StatusCode::OK, shown.await)
}

pub(in crate::http) async fn create(
    State(gateway): State<Gateway>,
    request: Request<Body>,
) -> Response {
    let created = async {
        let new: NewKey = read(&gateway, request).await?;
        let key = gateway.registry().create(new).await?;
        Ok(issued(&gateway, key).await)
    };
    answer(StatusCode::CREATED, created.await)
}

pub(in crate::http) async fn patch(
    State(gateway): State<Gateway>,
    id: Id,
    request: Request<Body>,
) -> Response {
    let patched = async {
        let (id, terms): (_, Terms) = (of(id)?, read(&gateway, request).await?);
        let key = changing(&gateway, &id, gateway.registry().patch(&id, &terms)).await?;
        Ok(KeyView::changed(key, &books(&gateway)).await)
    };
    answer(StatusCode::OK, patched.await)
}

pub(in crate::http) async fn rotate(
    State(gateway): State<Gateway>,
    id: Id,
    request: Request<Body>,
) -> Response {
    let rotated = async {
        let (id, rotation): (_, Rotation) = (of(id)?, read(&gateway, request).await?);
        let grace = rotation.grace.map_or(Duration::ZERO, |age| age.0);
        let key = changing(&gateway, &id, gateway.registry().rotate(&id, grace)).await?;
        Ok(issued(&gateway, key).await)
    };
    answer(StatusCode::OK, rotated.await)
}

pub(in crate::http) async fn revoke(
    State(gateway): State<Gateway>,
    id: Id,
    request: Request<Body>,
) -> Response {
    let revoked = async {
        let id = of(id)?;
        let Nothing {} = read(&gateway, request).await?;
        let key = changing(&gateway, &id, gateway.registry().revoke(&id)).await?;
        Ok(KeyView::changed(key, &books(&gateway)).await)
    };
    answer(StatusCode::OK, revoked.await)
}

fn books(gateway: &Gateway) -> Books<'_> {
    let state = gateway.state();
    Books::Running(state.accounts.book(), &*state.ledger)
}

async fn issued(gateway: &Gateway, issued: Issued) -> IssuedView {
    IssuedView {
        key: issued.credential,
        view: KeyView::changed(issued.key, &books(gateway)).await,
    }
}

fn of(id: Id) -> Result<String, Error> {
    match id {
        Ok(Path(id)) => Ok(id),
        Err(_) => Err(Error::invalid("the id in the path is no text")),
    }
}

async fn read<T: DeserializeOwned>(gateway: &Gateway, request: Request<Body>) -> Result<T, Error> {
    read_as(&gateway.live(), request).await
}
