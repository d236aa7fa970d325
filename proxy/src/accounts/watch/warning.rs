use std::time::SystemTime;

use rungs::{
    catalog::Money,
    store::{Balance, Budget},
};
use serde::Serialize;

use crate::{keys::rfc3339, webhook::Webhook};

/// A budget that has reached its mark.
pub(super) struct Warning {
    pub(super) balance: Balance,
    /// The mark, in percent.
    pub(super) warn_at: u8,
    /// When its window ends.
    pub(super) end: Option<SystemTime>,
}

/// The body that a webhook gets. Money in dollars, exact, as text.
#[derive(Debug, Serialize)]
struct Body<'a> {
    event: &'static str,
    account: &'a str,
    budget: &'a Budget,
    posted: Money,
    limit: Money,
    /// Of the limit, rounded down.
    percent: i64,
    warn_at: u8,
    /// `null` for a budget that does not reset.
    window_end: Option<String>,
}

impl Warning {
    pub(super) fn tell(&self, account: &str, webhook: Option<&Webhook>) {
        let Balance { budget, posted, .. } = &self.balance;
        let percent = percent(*posted, budget.limit);
        tracing::warn!(account, %budget, %posted, percent, "a budget is nearly spent");
        // By kind: there may be as many accounts as users.
        let kind = account.split_once(':').map_or(account, |(kind, _)| kind);
        metrics::counter!("rungs_budget_warnings_total", "kind" => kind.to_owned()).increment(1);
        if let Some(webhook) = webhook {
            webhook.post(&Body {
                event: "budget.warning",
                account,
                budget,
                posted: *posted,
                limit: budget.limit,
                percent,
                warn_at: self.warn_at,
                window_end: self.end.map(rfc3339),
            });
        }
    }
}

fn percent(posted: Money, limit: Money) -> i64 {
    let percent = i128::from(posted.nanos()) * 100 / i128::from(limit.nanos().max(1));
    i64::try_from(percent).unwrap_or(i64::MAX)
}
