//! `remaining_budget`: how the caller's budgets stand.

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::{Error, store::Balance};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    accounts::GLOBAL,
    auth::Principal,
    gateway::Gateway,
    keys::resets,
    tools::{Effect, Spec, Tool, ToolCall, to_value},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct Input {}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// Every budget that pays for the caller's calls; all hold at once. Empty if there is no limit of their own.
    budgets: Vec<Line>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Line {
    /// Whose it is: key, project or global.
    account: String,
    /// The cap and its window, like 0.50/day.
    budget: String,
    /// Dollars that may still be spent, less what calls under way hold.
    remaining_usd: String,
    /// Dollars spent in this window.
    spent_usd: String,
    /// Dollars held for calls under way.
    held_usd: String,
    /// When it begins anew; null for one that never does.
    resets: Option<String>,
}

/// The tool.
pub(super) struct RemainingBudget {
    gateway: Gateway,
    spec: Spec,
}

impl RemainingBudget {
    pub(super) fn new(gateway: Gateway) -> Self {
        let spec = Spec::of::<Input, Output>(
            "remaining_budget",
            "Remaining budget",
            "Says how much money the caller may still spend, by each budget that pays for its calls, and when that begins anew.",
            Effect::Read,
        );
        Self { gateway, spec }
    }

    fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let Input {} = call.input()?;
        let book = self.gateway.state().accounts.book();
        let accounts = visible(&call.principal);
        let lines = accounts.flat_map(|account| {
            let balances = book.balances(account).into_iter();
            balances.map(|balance| Line::of(account, &balance))
        });
        to_value(&Output {
            budgets: lines.collect(),
        })
    }
}

/// The accounts that a caller may look at: what everybody has spent together is no business of a single key.
pub(crate) fn visible(principal: &Principal) -> impl Iterator<Item = &str> {
    let all = principal.accounts.iter().map(|account| &**account);
    all.filter(|account| principal.key.is_none() || *account != GLOBAL)
}

impl Line {
    fn of(account: &str, balance: &Balance) -> Self {
        Self {
            account: account.to_owned(),
            budget: balance.budget.to_string(),
            remaining_usd: balance.room().to_string(),
            spent_usd: balance.posted.to_string(),
            held_usd: balance.reserved.to_string(),
            resets: resets(&balance.budget),
        }
    }
}

impl Tool for RemainingBudget {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        std::future::ready(self.run(call)).boxed()
    }
}
