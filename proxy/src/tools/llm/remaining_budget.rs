//! `remaining_budget`: how the caller's budgets stand.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::{Error, store::AccountBalance};
use serde::{Deserialize, Serialize};

use crate::{
    accounts::GLOBAL,
    auth::Principal,
    gateway::Gateway,
    keys::resets,
    tools::{Caller, Effect, Origin, Typed, Words},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Every budget that pays for the caller's calls; all hold at once. Empty if there is no limit of their own.
    budgets: Vec<Line>,
}

#[derive(Debug, Serialize, JsonSchema)]
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
    /// Whether the database could not be asked: more may have been spent by other processes.
    stale: bool,
}

/// The tool.
pub(super) fn tool(gateway: &Gateway) -> Typed {
    let words = Words {
        name: "remaining_budget",
        title: "Remaining budget",
        description: "Says how much money the caller may still spend, by each budget that pays for its calls, and when that begins anew.",
        effect: Effect::Read,
        origin: Origin::Own,
    };
    Typed::new(words, gateway, remaining)
}

async fn remaining(gateway: Gateway, caller: Caller, Input {}: Input) -> Result<Output, Error> {
    let book = gateway.state().accounts.book();
    let accounts: Vec<Arc<str>> = visible(&caller.principal).map(Arc::from).collect();
    let balances = book.stand(&accounts).await?;
    Ok(Output {
        budgets: balances.iter().map(Line::of).collect(),
    })
}

/// The accounts that a caller may look at: what everybody has spent together is no business of a single key.
pub(crate) fn visible(principal: &Principal) -> impl Iterator<Item = &str> {
    let all = principal.accounts.iter().map(|account| &**account);
    all.filter(|account| principal.key.is_none() || *account != GLOBAL)
}

impl Line {
    fn of(standing: &AccountBalance) -> Self {
        let balance = &standing.balance;
        Self {
            account: standing.account.to_string(),
            budget: balance.budget.to_string(),
            remaining_usd: balance.room().to_string(),
            spent_usd: balance.posted.to_string(),
            held_usd: balance.reserved.to_string(),
            resets: resets(&balance.budget),
            stale: standing.is_stale,
        }
    }
}
