//! Tools that need nothing but the gateway: its models, its prices, its decisions, its budgets.
//!
//! Each asks under the caller's key, by the same rules as a request over HTTP.

mod ask;
mod chat;
mod escalate;
mod estimate_cost;
mod explain_route;
mod remaining_budget;
mod route;
mod second_opinion;
mod words;

pub(crate) use remaining_budget::visible as visible_accounts;

use super::Typed;
use crate::gateway::Gateway;

/// All of them, in the order in which they are listed.
pub(super) fn all(gateway: &Gateway) -> Vec<Typed> {
    vec![
        chat::tool(gateway),
        route::tool(gateway),
        estimate_cost::tool(gateway),
        explain_route::tool(gateway),
        second_opinion::tool(gateway),
        escalate::tool(gateway),
        remaining_budget::tool(gateway),
    ]
}
