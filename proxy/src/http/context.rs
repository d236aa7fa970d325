//! `/v1/context/{id}`: what the gateway remembers of a conversation. What is another tenant's does not exist.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use rungs::{
    Error, ErrorKind,
    store::{ConversationKey, Memory, Remembered},
};
use serde_json::{Map, Value, json};

use super::error::respond;
use crate::{auth::Principal, gateway::Gateway, keys::rfc3339};

/// The id in a path, where it is text at all.
pub(super) type Id = Result<Path<String>, PathRejection>;

pub(super) async fn show(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    id: Id,
) -> Response {
    let shown = async { remembered(&gateway, &key(&principal, id)?).await };
    shown.await.map_or_else(
        |error| respond(&error),
        |context| Json(context).into_response(),
    )
}

/// What is remembered of a conversation, as JSON.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is none of this key, and the store's.
pub(crate) async fn remembered(gateway: &Gateway, key: &ConversationKey) -> Result<Value, Error> {
    let memory = gateway.state().conversations.load(key).await?;
    let memory = memory.ok_or_else(|| unknown(key))?;
    Ok(view(key, &memory))
}

/// Forgets the conversation and its todo list.
pub(super) async fn delete(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    id: Id,
) -> Response {
    let deleted = async {
        let key = key(&principal, id)?;
        let conversation = gateway.state().conversations.delete(&key).await?;
        let todos = gateway.state().todos.delete(&key).await?;
        match conversation || todos {
            true => Ok(StatusCode::NO_CONTENT),
            false => Err(unknown(&key)),
        }
    };
    deleted
        .await
        .map_or_else(|error| respond(&error), IntoResponse::into_response)
}

/// The caller's conversation of this id.
pub(super) fn key(principal: &Principal, id: Id) -> Result<ConversationKey, Error> {
    let Ok(Path(id)) = id else {
        return Err(Error::invalid("the id in the path is no text"));
    };
    ConversationKey::new(Arc::clone(&principal.tenant), id)
}

fn unknown(key: &ConversationKey) -> Error {
    let what = format!("there is no conversation `{}`", key.id());
    Error::new(ErrorKind::NotFound, what).param("conversationId")
}

fn view(key: &ConversationKey, memory: &Memory) -> Value {
    let summary = memory.summary.as_ref().map(|summary| {
        json!({
            "text": summary.text,
            "upTo": summary.up_to,
            "model": summary.deployment,
            "createdAt": rfc3339(summary.at),
        })
    });
    let messages = memory.messages.iter().map(message);
    json!({
        "conversationId": key.id(),
        "summary": summary,
        "messageCount": memory.count,
        "recentMessages": messages.collect::<Vec<_>>(),
    })
}

/// A message with when it was said, and in which call.
fn message(said: &Remembered) -> Value {
    let mut view: Map<String, Value> = serde_json::from_str(said.message.get()).unwrap_or_default();
    view.insert("timestamp".into(), rfc3339(said.at).into());
    let facts = json!({ "number": said.number, "requestId": &*said.request });
    view.insert("metadata".into(), facts);
    Value::Object(view)
}
