//! What a provider says it charges: OpenRouter's and Perplexity's `cost`, and xAI's ticks.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::catalog::Money;

#[derive(Deserialize)]
struct Wire<'a> {
    /// Dollars, or an object of them.
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
    #[serde(borrow)]
    cost_details: Option<&'a RawValue>,
    is_byok: Option<bool>,
    /// Of which ten thousand million are a dollar.
    #[serde(borrow)]
    cost_in_usd_ticks: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    upstream_inference_cost: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    total_cost: Option<&'a RawValue>,
}

pub(super) fn read(usage: &str) -> Option<Money> {
    // Few providers say what they charge, and all of them call it so.
    memchr::memmem::find(usage.as_bytes(), b"\"cost")?;
    let wire: Wire<'_> = serde_json::from_str(usage).ok()?;
    if let Some(ticks) = wire.cost_in_usd_ticks {
        return Money::from_json_up(&format!("{}e-10", ticks.get()));
    }
    let cost = wire.cost?;
    let cost = match serde_json::from_str::<Parts<'_>>(cost.get()) {
        Ok(parts) => parts.total_cost?,
        Err(_) => cost,
    };
    let cost = Money::from_json_up(cost.get())?;
    let upstream = wire.cost_details.and_then(|details| {
        let details: Details<'_> = serde_json::from_str(details.get()).ok()?;
        Money::from_json_up(details.upstream_inference_cost?.get())
    });
    // With the caller's own key `cost` is the relay's fee alone, and the vendor's bill comes on top. Else it is all there is to
    // pay, and the vendor's part is within it.
    Some(match upstream {
        Some(bill) if wire.is_byok.unwrap_or(bill > cost) => cost + bill,
        _ => cost,
    })
}
