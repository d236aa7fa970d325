//! What clients may read: the models, what was spent today, and what is remembered of a conversation.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use percent_encoding::percent_decode_str;
use rmcp::{
    ErrorData,
    model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate},
};
use rungs::{
    Error, ErrorKind,
    store::{ConversationKey, Window},
};
use serde_json::{Value, json};

use crate::{
    auth::Principal,
    gateway::Gateway,
    http::{context, models},
    keys::rfc3339,
    tools::visible_accounts,
};

const MODELS: &str = "models://";
const TODAY: &str = "ledger://today";
/// An id follows.
const CONTEXT: &str = "context://";

const JSON: &str = "application/json";

/// The longest that a reader waits for rows that are still on their way to the ledger.
const PATIENCE: Duration = Duration::from_secs(2);

/// What there is.
pub(super) fn list() -> Vec<Resource> {
    let resource = |uri: &str, name: &str, title: &str, description: &str| {
        Resource::new(uri, name)
            .with_title(title)
            .with_description(description)
            .with_mime_type(JSON)
    };
    vec![
        resource(
            MODELS,
            "models",
            "Models",
            "The models that you may ask for, with their tiers and context windows",
        ),
        resource(
            TODAY,
            "today",
            "Spent today",
            "What your calls have cost since midnight, by each account that pays for them",
        ),
    ]
}

/// What there is one of for each name.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    let context = ResourceTemplate::new(format!("{CONTEXT}{{id}}"), "context")
        .with_title("Conversation")
        .with_description("What is remembered of your conversation of this id: its summary, and its last messages")
        .with_mime_type(JSON);
    vec![context]
}

/// Reads the resource at `uri` for `principal`. What is another tenant's is not there.
pub(super) async fn read(
    gateway: &Gateway,
    principal: &Principal,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let read = match (uri, uri.strip_prefix(CONTEXT)) {
        (MODELS, _) => Ok(json!({ "models": models::cards(&gateway.live(), principal) })),
        (TODAY, _) => spent_today(gateway, principal).await,
        (_, Some(id)) => conversation(gateway, principal, id).await,
        _ => Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "there is no resource `{uri}`; resources/list and resources/templates/list name them"
            ),
        )),
    };
    let value = read.map_err(|error| {
        let what = error.message().to_owned();
        match error.kind() {
            // No conversation has an id that cannot be one.
            ErrorKind::NotFound | ErrorKind::Invalid => {
                ErrorData::resource_not_found(what, Some(json!({ "uri": uri })))
            }
            _ => ErrorData::internal_error(what, None),
        }
    })?;
    let text = ResourceContents::text(value.to_string(), uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![text]))
}

/// `id` as it stands in a URI.
async fn conversation(gateway: &Gateway, principal: &Principal, id: &str) -> Result<Value, Error> {
    let id = percent_decode_str(id).decode_utf8_lossy();
    let key = ConversationKey::new(Arc::clone(&principal.tenant), &*id)?;
    context::remembered(gateway, &key).await
}

async fn spent_today(gateway: &Gateway, principal: &Principal) -> Result<Value, Error> {
    let zone = gateway.live().config.budget.tz.clone();
    let (since, until) = Window::DAY.in_zone(zone).span(SystemTime::now());
    let ledger = &gateway.state().ledger;
    // Rows that are not there in time are missing from the sum; that is no reason to tell nothing.
    let _ = tokio::time::timeout(PATIENCE, ledger.flush()).await;
    let mut accounts = Vec::new();
    for account in visible_accounts(principal) {
        let spent = ledger.spent(account, since, until).await?;
        accounts.push(json!({ "account": account, "spent_usd": spent }));
    }
    Ok(json!({ "since": rfc3339(since), "accounts": accounts }))
}
