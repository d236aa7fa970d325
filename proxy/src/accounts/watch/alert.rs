use rungs::{catalog::Money, layers::trace::CostAlert};
use serde::Serialize;

use crate::webhook::Webhook;

/// The body that a webhook gets. Money in dollars, exact, as text.
#[derive(Debug, Serialize)]
struct Body<'a> {
    event: &'static str,
    request_id: &'a str,
    op: &'static str,
    /// Its id, and whom its client names.
    key: Option<&'a str>,
    user: Option<&'a str>,
    /// Who answered; `null` where nobody did.
    deployment: Option<&'a str>,
    tier: Option<&'static str>,
    attempts: u32,
    cost: Money,
    alert: Money,
}

/// Tells of a call that cost more than `budget.alert`. There may be many: warnings of budgets, which come once, go first.
pub(crate) fn post_alert(alert: &CostAlert<'_>, webhook: &Webhook) {
    let ctx = alert.ctx;
    webhook.post_common(&Body {
        event: "cost.alert",
        request_id: &ctx.id,
        op: alert.op.as_str(),
        key: ctx.key.as_deref(),
        user: ctx.user.as_deref(),
        deployment: alert.deployment.map(|d| d.id.as_str()),
        tier: alert.deployment.map(|d| d.tier.as_str()),
        attempts: ctx.attempts(),
        cost: alert.cost,
        alert: alert.threshold,
    });
}
