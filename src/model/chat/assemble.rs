use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::is_named;
use crate::error::{Error, ErrorKind};

/// Puts the chunks of a chat stream together to the whole answer that they spell.
///
/// Deltas merge the way clients merge them: text is appended, lists with an `index` merge by it, other lists are appended,
/// names and ids are set, and members nobody knows follow the same rules, but a text that only comes again is not appended.
///
/// # Errors
/// [`ErrorKind::Upstream`] if a chunk is not a JSON object.
pub fn assemble(chunks: &[Bytes], usage_chunk: Option<&Bytes>) -> Result<Bytes, Error> {
    let mut answer = Map::new();
    let mut choices = BTreeMap::<u64, Map<String, Value>>::new();
    for chunk in chunks.iter().chain(usage_chunk) {
        let chunk: Map<String, Value> = serde_json::from_slice(chunk).map_err(|e| {
            Error::new(
                ErrorKind::Upstream,
                "the provider's stream holds no chat chunks",
            )
            .with_source(e)
        })?;
        for (name, value) in chunk {
            match (name.as_str(), value) {
                ("choices", Value::Array(parts)) => {
                    for (at, part) in parts.into_iter().enumerate() {
                        let Value::Object(part) = part else { continue };
                        let at = part
                            .get("index")
                            .and_then(Value::as_u64)
                            .unwrap_or(at as u64);
                        add_choice(choices.entry(at).or_default(), part);
                    }
                }
                ("usage", Value::Null) => {}
                (_, value) => {
                    answer.insert(name, value);
                }
            }
        }
    }
    answer.insert("object".into(), json!("chat.completion"));
    let choices = choices
        .into_iter()
        .map(|(index, choice)| finished(index, choice));
    answer.insert("choices".into(), choices.collect());
    let whole = serde_json::to_vec(&answer)
        .map_err(|e| Error::internal("the answer does not serialise").with_source(e))?;
    Ok(whole.into())
}

fn add_choice(choice: &mut Map<String, Value>, part: Map<String, Value>) {
    for (name, value) in part {
        match (name.as_str(), value) {
            (_, Value::Null) | ("index", _) => {}
            ("delta", Value::Object(delta)) => {
                let message = choice.entry("message").or_insert_with(|| json!({}));
                if let Value::Object(message) = message {
                    merge(message, delta);
                }
            }
            ("logprobs", Value::Object(logprobs)) => {
                let all = choice.entry("logprobs").or_insert_with(|| json!({}));
                if let Value::Object(all) = all {
                    merge(all, logprobs);
                }
            }
            (_, value) => {
                choice.insert(name, value);
            }
        }
    }
}

fn finished(index: u64, mut choice: Map<String, Value>) -> Value {
    choice.insert("index".into(), json!(index));
    choice.entry("finish_reason").or_insert(Value::Null);
    choice.entry("logprobs").or_insert(Value::Null);
    let message = choice.entry("message").or_insert_with(|| json!({}));
    if let Value::Object(message) = message {
        message.entry("role").or_insert_with(|| json!("assistant"));
        message.entry("content").or_insert(Value::Null);
        if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
            for call in calls.iter_mut().filter_map(Value::as_object_mut) {
                call.remove("index");
            }
        }
    }
    Value::Object(choice)
}

fn merge(into: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (name, new) in delta {
        match (into.get_mut(&name), new) {
            (Some(_), Value::Null) => {}
            // Set once: some providers repeat these in each delta.
            (Some(Value::String(old)), Value::String(new))
                if matches!(name.as_str(), "id" | "type" | "role" | "name") =>
            {
                if old.is_empty() {
                    *old = new;
                }
            }
            // And others do so with what nobody has heard of.
            (Some(Value::String(old)), Value::String(new)) if *old == new && !is_text(&name) => {}
            (Some(Value::String(old)), Value::String(new)) => old.push_str(&new),
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) => append(old, new),
            (None, Value::Array(new)) => {
                let mut all = Vec::new();
                append(&mut all, new);
                into.insert(name, Value::Array(all));
            }
            (_, new) => {
                into.insert(name, new);
            }
        }
    }
}

/// Whether a member comes piece by piece, and two pieces may be alike.
fn is_text(name: &str) -> bool {
    matches!(
        name,
        "content"
            | "refusal"
            | "reasoning"
            | "reasoning_content"
            | "thinking"
            | "text"
            | "summary"
            | "arguments"
            | "input"
            | "transcript"
            | "data"
    )
}

/// Appends list items; those with an `index` merge with the last item of the same index. Some servers give all calls one index: a
/// call with another id is another call.
pub(crate) fn append(all: &mut Vec<Value>, new: Vec<Value>) {
    for item in new {
        let begun = begun(all, &item).and_then(|at| all.get_mut(at));
        match (begun, item) {
            (Some(Value::Object(old)), Value::Object(item)) => merge(old, item),
            (_, item) => all.push(item),
        }
    }
}

/// Where the beginning of `item` is.
fn begun(all: &[Value], item: &Value) -> Option<usize> {
    let index = |item: &Value| item.get("index").and_then(Value::as_u64);
    let wanted = index(item)?;
    let of_index = |old: &Value| index(old) == Some(wanted);
    let last = all.iter().rposition(of_index)?;
    let Some(own) = id(item) else {
        return Some(last);
    };
    let of_id = |old: &Value| of_index(old) && id(old) == Some(own);
    if let Some(at) = all.iter().rposition(of_id) {
        return Some(at);
    }
    // There are servers that make up an id for each piece; only the first one names a function.
    let is_piece = item
        .get("function")
        .is_some_and(|function| !is_named(function));
    (is_piece || id(&all[last]).is_none()).then_some(last)
}

fn id(item: &Value) -> Option<&str> {
    item.get("id")?.as_str().filter(|id| !id.is_empty())
}
