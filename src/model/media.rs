//! What a prompt refers to instead of saying it: pictures, clips and files, whose tokens its length does not bound.

use std::borrow::Cow;

use crate::json::{self, Fault, Scan};

/// How many of them the messages of a chat hold, at most.
///
/// They are counted where providers read them, by structure: a name may be spelled with escapes, and a kind or a member that
/// this code has never heard of counts too: some providers read names in capitals. What does not have the form of messages counts
/// as much as it has room for.
pub(crate) fn in_messages(messages: &str) -> u64 {
    let mut found = 0;
    let walked = json::elements(messages, |message| {
        found += each_member(message, |name, value| match &*name {
            // Calls of functions are text, and so are thoughts.
            "function_call" | "tool_calls" | "reasoning_details" => value.value().map(|_| 0),
            // What an earlier answer was spoken as.
            name if name != "content" && value.is_object() => value.value().map(|_| 1),
            // Or drawn as, and what was read for it.
            _ => content(value),
        })?;
        Ok(())
    });
    match walked {
        Ok(()) => found,
        Err(_) => objects(messages),
    }
}

/// How many of them the input of an embedding holds, at most; texts and tokens are none.
pub(super) fn in_input(input: &str) -> u64 {
    let mut found = 0;
    let walked = json::elements(input, |element| {
        found += content(element)?;
        Ok(())
    });
    match walked {
        Ok(()) => found,
        Err(_) if input.starts_with('"') => 0,
        Err(_) => objects(input),
    }
}

/// As many as there is room for.
fn objects(json: &str) -> u64 {
    json.bytes().filter(|byte| *byte == b'{').count() as u64
}

/// The media in a message's content: its text, or one part or several.
fn content(value: &mut Scan<'_>) -> Result<u64, Fault> {
    if value.is_object() {
        return part(value);
    }
    if !value.is_array() {
        return value.value().map(|_| 0);
    }
    let mut found = 0;
    value.elements(|element| {
        found += content(element)?;
        Ok(())
    })?;
    Ok(found)
}

/// Whether a part is a medium, and the media in it.
fn part(value: &mut Scan<'_>) -> Result<u64, Fault> {
    let (mut kinds, mut texts, mut others) = (0, 0, 0);
    let inner = each_member(value, |name, value| match &*name {
        "type" => {
            kinds += 1;
            texts += u64::from(is_text(&json::meaning(value.value()?.trim_matches('"'))));
            Ok(0)
        }
        name => {
            others += u64::from(!is_of_text(name));
            match value.is_object() && name != "content" {
                true => each_member(value, |_, value| content(value)),
                false => content(value),
            }
        }
    })?;
    let is_medium = kinds == 0 || texts < kinds || others > 0;
    Ok(inner + u64::from(is_medium))
}

/// Whether a part of that kind, a JSON string's meaning, is bounded by its length.
fn is_text(kind: &str) -> bool {
    matches!(
        kind,
        "text"
            | "input_text"
            | "output_text"
            | "refusal"
            | "reasoning"
            | "thinking"
            | "url_citation"
    )
}

/// Whether a text has such a member. Some providers look for others first, and for the kind only if there are none.
fn is_of_text(name: &str) -> bool {
    matches!(
        name,
        "text"
            | "refusal"
            | "reasoning"
            | "thinking"
            | "content"
            | "signature"
            | "cache_control"
            | "annotations"
            | "citations"
            | "url_citation"
            | "logprobs"
            | "id"
            | "index"
    )
}

/// The sum of what `count` finds in the members of an object.
fn each_member<'a>(
    object: &mut Scan<'a>,
    mut count: impl FnMut(Cow<'a, str>, &mut Scan<'a>) -> Result<u64, Fault>,
) -> Result<u64, Fault> {
    let mut found = 0;
    object.members(|name, value| {
        found += count(json::meaning(name), value)?;
        Ok(())
    })?;
    Ok(found)
}
