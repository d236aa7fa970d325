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

use std::sync::Arc;

pub(crate) use remaining_budget::visible as visible_accounts;

use super::Tool;
use crate::gateway::Gateway;

/// All of them, in the order in which they are listed.
pub(super) fn all(gateway: &Gateway) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(chat::Chat::new(gateway.clone())),
        Arc::new(route::RouteTool::new(gateway.clone())),
        Arc::new(estimate_cost::EstimateCost::new(gateway.clone())),
        Arc::new(explain_route::ExplainRoute::new(gateway.clone())),
        Arc::new(second_opinion::SecondOpinion::new(gateway.clone())),
        Arc::new(escalate::EscalateTool::new(gateway.clone())),
        Arc::new(remaining_budget::RemainingBudget::new(gateway.clone())),
    ]
}
