//! What clients may read: the models, and what was spent today.

use std::time::{Duration, SystemTime};

use rmcp::{
    ErrorData,
    model::{ReadResourceResult, Resource, ResourceContents},
};
use rungs::{Error, store::Window};
use serde_json::{Value, json};

use crate::{
    auth::Principal, gateway::Gateway, http::models, keys::rfc3339, tools::visible_accounts,
};

const MODELS: &str = "models://";
const TODAY: &str = "ledger://today";

/// The longest that a reader waits for rows that are still on their way to the ledger.
const PATIENCE: Duration = Duration::from_secs(2);

/// What there is.
pub(super) fn list() -> Vec<Resource> {
    let resource = |uri: &str, name: &str, title: &str, description: &str| {
        Resource::new(uri, name)
            .with_title(title)
            .with_description(description)
            .with_mime_type("application/json")
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

/// Reads the resource at `uri` for `principal`.
pub(super) async fn read(
    gateway: &Gateway,
    principal: &Principal,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let value = match uri {
        MODELS => json!({ "models": models::cards(&gateway.live(), principal) }),
        TODAY => {
            let spent = spent_today(gateway, principal).await;
            spent.map_err(|error| ErrorData::internal_error(error.message().to_owned(), None))?
        }
        _ => {
            let what = format!("there is no resource `{uri}`; resources/list names them");
            return Err(ErrorData::resource_not_found(
                what,
                Some(json!({ "uri": uri })),
            ));
        }
    };
    let text = ResourceContents::text(value.to_string(), uri).with_mime_type("application/json");
    Ok(ReadResourceResult::new(vec![text]))
}

async fn spent_today(gateway: &Gateway, principal: &Principal) -> Result<Value, Error> {
    let zone = gateway.live().config.budget.tz.clone();
    let since = Window::DAY.in_zone(zone).start(SystemTime::now());
    let ledger = &gateway.state().ledger;
    // Rows that are not there in time are missing from the sum; that is no reason to tell nothing.
    let _ = tokio::time::timeout(PATIENCE, ledger.flush()).await;
    let mut accounts = Vec::new();
    for account in visible_accounts(principal) {
        let spent = ledger.spent(account, since).await?;
        accounts.push(json!({ "account": account, "spent_usd": spent }));
    }
    Ok(json!({ "since": rfc3339(since), "accounts": accounts }))
}
