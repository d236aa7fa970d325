//! `/admin/v1/budgets`: how all accounts stand that have budgets in this process.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::answer;
use crate::{gateway::Gateway, keys::BudgetView};

#[derive(Serialize)]
struct Line {
    account: Arc<str>,
    #[serde(flatten)]
    budget: BudgetView,
}

pub(in crate::http) async fn list(State(gateway): State<Gateway>) -> Response {
    let listed = async {
        let book = gateway.state().accounts.book();
        let balances = book.stand(&book.accounts()).await?;
        let lines = balances.into_iter().map(|standing| Line {
            account: Arc::clone(&standing.account),
            budget: BudgetView::of(standing),
        });
        Ok(json!({ "object": "list", "data": lines.collect::<Vec<_>>() }))
    };
    answer(StatusCode::OK, listed.await)
}
