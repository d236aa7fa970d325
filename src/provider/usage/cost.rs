//! What a provider says it charges: OpenRouter's and Perplexity's `cost`, and xAI's ticks.

use crate::{catalog::Money, json::Members};

pub(super) fn read(usage: &Members<'_>) -> Option<Money> {
    // Of which ten thousand million are a dollar.
    if let Some(ticks) = usage.get("cost_in_usd_ticks") {
        return Money::from_json_up(&format!("{ticks}e-10"));
    }
    // Dollars, or an object of them.
    let cost = match usage.object("cost") {
        Some(parts) => parts.get("total_cost")?,
        None => usage.get("cost")?,
    };
    let cost = Money::from_json_up(cost)?;
    let details = usage.object("cost_details");
    let upstream = details.and_then(|details| details.get("upstream_inference_cost"));
    // With the caller's own key `cost` is the relay's fee alone, and the vendor's bill comes on top: without that nobody knows what
    // it was. Else it is all there is to pay, and the vendor's part is within it.
    let is_byok = usage.get("is_byok").map(|told| told == "true");
    match upstream.and_then(Money::from_json_up) {
        Some(bill) if is_byok.unwrap_or(bill > cost) => Some(cost + bill),
        None if is_byok == Some(true) => None,
        _ => Some(cost),
    }
}
