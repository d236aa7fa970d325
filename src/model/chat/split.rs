use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind};

/// Takes a whole chat answer apart into the chunks of a stream: per choice one with the message and one with the finish reason;
/// and the usage chunk, if the answer has usage.
///
/// # Errors
/// [`ErrorKind::Upstream`] if `whole` is no chat completion.
pub fn split(whole: &Bytes) -> Result<(Vec<Bytes>, Option<Bytes>), Error> {
    let no_chat = || {
        Error::new(
            ErrorKind::Upstream,
            "the provider's answer is no chat completion",
        )
    };
    let mut answer: Map<String, Value> =
        serde_json::from_slice(whole).map_err(|e| no_chat().with_source(e))?;
    let Some(Value::Array(choices)) = answer.remove("choices") else {
        return Err(no_chat());
    };
    let usage = answer.remove("usage").filter(|usage| !usage.is_null());
    answer.insert("object".into(), json!("chat.completion.chunk"));

    let chunk = |choices: Value, usage: Option<&Value>| {
        let mut chunk = answer.clone();
        chunk.insert("choices".into(), choices);
        if let Some(usage) = usage {
            chunk.insert("usage".into(), usage.clone());
        }
        Bytes::from(Value::Object(chunk).to_string())
    };
    let mut chunks = Vec::with_capacity(choices.len() * 2);
    for choice in choices {
        let Value::Object(mut choice) = choice else {
            return Err(no_chat());
        };
        let mut delta = choice.remove("message").unwrap_or_else(|| json!({}));
        if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
            for (at, call) in calls.iter_mut().enumerate() {
                let call = call.as_object_mut().ok_or_else(no_chat)?;
                call.insert("index".into(), json!(at));
            }
        }
        let finish = choice.insert("finish_reason".into(), Value::Null);
        choice.insert("delta".into(), delta);
        chunks.push(chunk(json!([choice]), None));
        let index = choice.get("index").cloned().unwrap_or_else(|| json!(0));
        chunks.push(chunk(
            json!([{ "index": index, "delta": {}, "finish_reason": finish }]),
            None,
        ));
    }
    let usage_chunk = usage.map(|usage| chunk(json!([]), Some(&usage)));
    Ok((chunks, usage_chunk))
}
