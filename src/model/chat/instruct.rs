use serde::Deserialize;
use serde_json::value::RawValue;

use super::Message;
use crate::{error::Error, json::RawObject};

#[derive(Deserialize)]
struct Role<'a> {
    #[serde(default, borrow)]
    role: std::borrow::Cow<'a, str>,
}

/// The request with one more system message, behind those it starts with: the application's own instructions keep the first
/// word, and tool calls stay next to their results. Every other byte is kept.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if `messages` is missing or no list.
pub fn instruct(body: &RawObject, text: &str) -> Result<RawObject, Error> {
    insert(body, &system(text)?)
}

/// A system message as JSON.
pub(super) fn system(text: &str) -> Result<String, Error> {
    serde_json::to_string(&Message {
        role: "system",
        content: text,
    })
    .map_err(|e| Error::internal("the message does not serialise").with_source(e))
}

/// The request with more messages, which `more` lists with commas, behind the instructions that it starts with.
pub(super) fn insert(body: &RawObject, more: &str) -> Result<RawObject, Error> {
    let raw = body
        .get("messages")
        .ok_or_else(|| Error::invalid("`messages` is missing").param("messages"))?;
    let messages: Vec<&RawValue> = body.get_as("messages")?.unwrap_or_default();
    let offset = |part: &RawValue| part.get().as_ptr() as usize - raw.as_ptr() as usize;
    let first = messages.get(instructions(&messages));
    let (at, text) = match (first, messages.last()) {
        (Some(first), _) => (offset(first), format!("{more},")),
        (None, Some(last)) => (offset(last) + last.get().len(), format!(",{more}")),
        (None, None) => (1, more.to_owned()),
    };
    let (before, behind) = raw.split_at(at);
    let messages = RawValue::from_string([before, &text, behind].concat())
        .map_err(|e| Error::internal("the messages do not take another one").with_source(e))?;
    let mut body = body.clone();
    body.set_raw("messages", &messages);
    Ok(body)
}

/// How many of the messages are instructions that stand before everything else.
pub(super) fn instructions(messages: &[&RawValue]) -> usize {
    let instructs = |message: &&&RawValue| {
        serde_json::from_str::<Role<'_>>(message.get())
            .is_ok_and(|m| matches!(&*m.role, "system" | "developer"))
    };
    messages.iter().take_while(instructs).count()
}
