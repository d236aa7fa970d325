//! `/v1/todos/{id}`: the todo list of a conversation.

use std::{collections::HashSet, sync::Arc};

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::Request;
use rungs::{
    Error, ErrorKind,
    store::{ConversationKey, TodoItem, TodoList},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    body::read_as,
    context::{Id, key},
    error::respond,
};
use crate::{auth::Principal, gateway::Gateway, keys::rfc3339};

/// The longest list.
const MOST: usize = 200;

/// The longest title, in bytes, and the longest description.
const TITLE: usize = 500;
const DESCRIPTION: usize = 10_000;

/// The new items, in place of all there were.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Todos {
    todos: Vec<TodoItem>,
}

pub(super) async fn show(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    id: Id,
) -> Response {
    let shown = async {
        let key = key(&principal, id)?;
        let list = gateway.state().todos.get(&key).await?;
        let list = list.ok_or_else(|| {
            let what = format!("the conversation `{}` has no todo list", key.id());
            Error::new(ErrorKind::NotFound, what).param("conversationId")
        })?;
        Ok::<_, Error>(Json(view(&key, &list)))
    };
    shown
        .await
        .map_or_else(|error| respond(&error), IntoResponse::into_response)
}

pub(super) async fn put(
    State(gateway): State<Gateway>,
    Extension(principal): Extension<Arc<Principal>>,
    id: Id,
    request: Request<Body>,
) -> Response {
    let put = async {
        let key = key(&principal, id)?;
        let Todos { todos } = read_as(&gateway.live(), request).await?;
        check(&todos)?;
        let list = gateway.state().todos.put(&key, &todos).await?;
        Ok::<_, Error>(Json(view(&key, &list)))
    };
    put.await
        .map_or_else(|error| respond(&error), IntoResponse::into_response)
}

fn check(todos: &[TodoItem]) -> Result<(), Error> {
    let fault = |what: String, at: String| Err(Error::invalid(what).param(at));
    if todos.len() > MOST {
        return fault(format!("a list has at most {MOST} items"), "todos".into());
    }
    let mut ids = HashSet::new();
    for (n, item) in todos.iter().enumerate() {
        if !ids.insert(item.id) {
            return fault(
                format!("two items have the id {}", item.id),
                format!("todos[{n}].id"),
            );
        }
        if item.title.trim().is_empty() || item.title.len() > TITLE {
            return fault(
                format!("a title has 1 to {TITLE} bytes"),
                format!("todos[{n}].title"),
            );
        }
        if item.description.len() > DESCRIPTION {
            return fault(
                format!("a description has at most {DESCRIPTION} bytes"),
                format!("todos[{n}].description"),
            );
        }
    }
    Ok(())
}

fn view(key: &ConversationKey, list: &TodoList) -> Value {
    json!({
        "conversationId": key.id(),
        "todos": list.items,
        "version": list.version,
        "updatedAt": rfc3339(list.updated),
    })
}
