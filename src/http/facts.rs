use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::{
    json::RawObject,
    model::{Agreement, CallContext, LimitFacts, ResponseMeta},
};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TIER: HeaderName = HeaderName::from_static("x-rungs-tier");
const MODEL: HeaderName = HeaderName::from_static("x-rungs-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-rungs-attempts");
const CACHE: HeaderName = HeaderName::from_static("x-rungs-cache");
const COST: HeaderName = HeaderName::from_static("x-rungs-cost-usd");
const VERDICT: HeaderName = HeaderName::from_static("x-rungs-verdict");
const NOTE: HeaderName = HeaderName::from_static("x-rungs-note");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The names of the limit, of what remains of it, and of when all of it is there again.
const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Writes the facts of a call into headers. The cost is written for whole answers only: a stream's is not known yet.
pub fn write_facts(headers: &mut HeaderMap, ctx: &CallContext, meta: &ResponseMeta, whole: bool) {
    insert(headers, &REQUEST_ID, &ctx.id);
    if let Some(d) = &meta.deployment {
        headers.insert(TIER, HeaderValue::from_static(d.tier.as_str()));
        insert(headers, &MODEL, &d.model);
    }
    headers.insert(ATTEMPTS, HeaderValue::from(ctx.attempts()));
    headers.insert(CACHE, HeaderValue::from_static(meta.cache.as_str()));
    if whole {
        insert(headers, &COST, &ctx.spent().to_string());
    }
    if let Some(verdict) = &meta.verdict {
        let word = match &verdict.agreement {
            Agreement::Agree => "agree",
            Agreement::Differ(_) => "differ",
            Agreement::Unchecked => "unchecked",
        };
        insert(
            headers,
            &VERDICT,
            &format!("{word}; confidence={}", verdict.confidence),
        );
    }
    for note in &meta.notes {
        if let Ok(value) = HeaderValue::from_str(note) {
            headers.append(NOTE, value);
        }
    }
    if meta.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    write_limits(headers, ctx);
}

/// How the caller's limits stand, in OpenAI's headers; nothing for a caller without limits.
pub(super) fn write_limits(headers: &mut HeaderMap, ctx: &CallContext) {
    let rates = ctx.rates();
    for (names, facts) in [(REQUESTS, rates.requests), (TOKENS, rates.tokens)] {
        if let Some(LimitFacts {
            limit,
            remaining,
            reset,
        }) = facts
        {
            let [limit_name, remaining_name, reset_name] = names;
            headers.insert(limit_name, HeaderValue::from(limit));
            headers.insert(remaining_name, HeaderValue::from(remaining));
            insert(headers, &reset_name, &spelled(reset));
        }
    }
}

/// A span of time as OpenAI spells it: `120ms`, `8.64s`, `6m0s`. Rounded up to the millisecond.
fn spelled(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    if seconds == 0 {
        return format!("{rest}ms");
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    match rest {
        0 => text.push_str(&format!("{seconds}s")),
        _ => {
            let exact = format!("{seconds}.{rest:03}");
            text.push_str(exact.trim_end_matches('0'));
            text.push('s');
        }
    }
    text
}

pub(super) fn insert(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The same facts for the end of a stream.
pub(super) fn last_words(ctx: &CallContext, meta: &ResponseMeta) -> Value {
    let deployment = meta.deployment.as_ref();
    json!({
        "request_id": &*ctx.id,
        "tier": deployment.map(|d| d.tier),
        "model": deployment.map(|d| &*d.model),
        "attempts": ctx.attempts(),
        "cache": meta.cache,
        "cost_usd": ctx.spent(),
    })
}

/// The usage chunk with the facts as one more member, for clients that cannot see comments. What is no object stays as it is.
pub(super) fn with_facts(usage_chunk: &Bytes, facts: &Value) -> Bytes {
    let spliced = RawObject::parse(usage_chunk.clone()).and_then(|mut chunk| {
        chunk.set("rungs", facts)?;
        Ok(chunk.into_bytes())
    });
    spliced.unwrap_or_else(|_| usage_chunk.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_as_openai_does() {
        for (nanos, text) in [
            (0, "0ms"),
            (1, "1ms"),
            (120_000_000, "120ms"),
            (1_000_000_000, "1s"),
            (8_640_000_000, "8.64s"),
            (59_999_000_001, "1m0s"),
            (360_000_000_000, "6m0s"),
            (3_661_005_000_000, "1h1m1.005s"),
        ] {
            assert_eq!(spelled(Duration::from_nanos(nanos)), text);
        }
    }
}
