//! Scripted answers in OpenAI's shape.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Reply;
use crate::{
    catalog::Deployment,
    json::RawObject,
    model::{End, FinishReason, Usage},
};

pub(super) fn whole(
    deployment: &Deployment,
    message: &Value,
    reply: &Reply,
    usage: Usage,
) -> Bytes {
    json!({
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": &*deployment.upstream,
        "choices": [{ "index": 0, "message": message, "finish_reason": reply.finish, "logprobs": null }],
        "usage": openai_usage(reply, usage),
    })
    .to_string()
    .into()
}

/// One vector of eight numbers per input: the same text always gives the same vector.
pub(super) fn embeddings(deployment: &Deployment, body: &RawObject, usage: Usage) -> Bytes {
    let input: Value = body.get_as("input").ok().flatten().unwrap_or_default();
    let texts = match input {
        Value::Array(texts) => texts,
        one => vec![one],
    };
    let vector = |text: &Value| -> Vec<f64> {
        let hash = blake3::hash(text.to_string().as_bytes());
        hash.as_bytes()[..8]
            .iter()
            .map(|byte| (f64::from(*byte) - 127.5) / 127.5)
            .collect()
    };
    let data = texts.iter().enumerate();
    let data: Vec<Value> = data
        .map(|(at, text)| json!({ "object": "embedding", "index": at, "embedding": vector(text) }))
        .collect();
    let tokens = usage.total_input();
    json!({
        "object": "list",
        "data": data,
        "model": &*deployment.upstream,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })
    .to_string()
    .into()
}

fn openai_usage(reply: &Reply, usage: Usage) -> Value {
    let mut told = json!({
        "prompt_tokens": usage.total_input(),
        "completion_tokens": usage.total_output(),
        "total_tokens": usage.total_input().saturating_add(usage.total_output()),
        "prompt_tokens_details": { "cached_tokens": usage.cache_read },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning },
    });
    if usage.cache_write_5m + usage.cache_write_1h > 0 {
        told["cache_creation"] = json!({
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        });
    }
    if let Some(cost) = reply.cost {
        told["cost"] = json!(cost.to_f64_lossy());
    }
    told
}

/// The chunks of a stream, one per word, and its end.
pub(super) fn chunks(
    deployment: &Deployment,
    message: &Value,
    reply: &Reply,
    usage: Usage,
) -> (VecDeque<Bytes>, End) {
    let chunk = |choices: Value, usage: Value| -> Bytes {
        json!({
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": &*deployment.upstream,
            "choices": choices,
            "usage": usage,
        })
        .to_string()
        .into()
    };
    let part = |delta: Value, finish: Option<&str>| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        chunk(choices, Value::Null)
    };
    let mut chunks: VecDeque<Bytes> = deltas(message, reply)
        .into_iter()
        .map(|delta| part(delta, None))
        .collect();
    chunks.push_back(part(json!({}), Some(reply.finish)));
    let end = End {
        usage: Some(usage),
        reported_cost: reply.cost,
        finish: Some(FinishReason::from_openai(reply.finish)),
        usage_chunk: Some(chunk(json!([]), openai_usage(reply, usage))),
        ..End::default()
    };
    (chunks, end)
}

fn deltas(message: &Value, reply: &Reply) -> Vec<Value> {
    let text = reply.text_of();
    if text.is_empty() {
        let mut delta = message.clone();
        if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
            calls
                .iter_mut()
                .enumerate()
                .for_each(|(at, call)| call["index"] = json!(at));
        }
        return vec![delta];
    }
    let mut deltas: Vec<Value> = text
        .split_inclusive(' ')
        .map(|word| json!({ "content": word }))
        .collect();
    deltas[0]["role"] = json!("assistant");
    deltas
}
