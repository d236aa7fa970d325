use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::limits::{self, write_limits};
use crate::{
    json::RawObject,
    model::{Agreement, CallContext, ResponseMeta, Verdict},
};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TIER: HeaderName = HeaderName::from_static("x-rungs-tier");
const MODEL: HeaderName = HeaderName::from_static("x-rungs-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-rungs-attempts");
const CACHE: HeaderName = HeaderName::from_static("x-rungs-cache");
const COST: HeaderName = HeaderName::from_static("x-rungs-cost-usd");
const VERDICT: HeaderName = HeaderName::from_static("x-rungs-verdict");
const NOTE: HeaderName = HeaderName::from_static("x-rungs-note");
const CONTEXT: HeaderName = HeaderName::from_static("x-rungs-context");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The value of `x-rungs-context`, where it is there.
const UNAVAILABLE: &str = "unavailable";

/// The names of all headers that [`write_facts`] may write: whoever lets web pages of other origins read them has to name each.
pub fn fact_names() -> impl Iterator<Item = HeaderName> {
    let facts = [
        REQUEST_ID, TIER, MODEL, ATTEMPTS, CACHE, COST, VERDICT, NOTE, CONTEXT, REPLAYED,
    ];
    facts.into_iter().chain(limits::names())
}

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
        insert(headers, &VERDICT, &in_words(verdict));
    }
    for note in &meta.notes {
        if let Ok(value) = HeaderValue::from_str(note) {
            headers.append(NOTE, value);
        }
    }
    if meta.forgetful {
        headers.insert(CONTEXT, HeaderValue::from_static(UNAVAILABLE));
    }
    if meta.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    write_limits(headers, ctx);
}

pub(super) fn insert(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn in_words(verdict: &Verdict) -> String {
    let word = match &verdict.agreement {
        Agreement::Agree => "agree",
        Agreement::Differ(_) => "differ",
        Agreement::Unchecked => "unchecked",
    };
    format!("{word}; confidence={}", verdict.confidence)
}

/// The same facts for the end of a stream, in the headers' words: headers that went out early have none of them.
pub(super) fn last_words(ctx: &CallContext, meta: &ResponseMeta) -> Value {
    let deployment = meta.deployment.as_ref();
    let mut words = json!({
        "request_id": &*ctx.id,
        "tier": deployment.map(|d| d.tier),
        "model": deployment.map(|d| &*d.model),
        "attempts": ctx.attempts(),
        "cache": meta.cache,
        "cost_usd": ctx.spent(),
    });
    if let Some(verdict) = &meta.verdict {
        words["verdict"] = in_words(verdict).into();
    }
    if !meta.notes.is_empty() {
        words["notes"] = json!(meta.notes);
    }
    if meta.forgetful {
        words["context"] = UNAVAILABLE.into();
    }
    if meta.replayed {
        words["replayed"] = true.into();
    }
    words
}

/// The usage chunk with the facts as one more member, for clients that cannot see comments. What is no object stays as it is.
pub(super) fn with_facts(usage_chunk: &Bytes, facts: &Value) -> Bytes {
    let spliced = RawObject::parse(usage_chunk.clone()).and_then(|mut chunk| {
        chunk.set("rungs", facts)?;
        Ok(chunk.into_bytes())
    });
    spliced.unwrap_or_else(|_| usage_chunk.clone())
}
