//! `/admin/v1/budgets`: how all accounts stand that have budgets in this process.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{gateway::Gateway, keys::BudgetView};

#[derive(Serialize)]
struct Line<'a> {
    account: &'a str,
    #[serde(flatten)]
    budget: BudgetView,
}

pub(in crate::http) async fn list(State(gateway): State<Gateway>) -> Json<Value> {
    let book = gateway.state().accounts.book();
    let accounts = book.accounts();
    let lines: Vec<Line<'_>> = accounts
        .iter()
        .flat_map(|account| {
            let balances = book.balances(account).into_iter();
            balances.map(move |balance| Line {
                account,
                budget: BudgetView::of(balance),
            })
        })
        .collect();
    Json(json!({ "object": "list", "data": lines }))
}
