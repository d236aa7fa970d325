use crate::{error::Error, json::RawObject, model::Operation};

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Count,
    Number,
    List,
    Object,
}

const CHAT: [(&str, Kind); 12] = [
    ("model", Kind::Text),
    ("messages", Kind::List),
    ("stream", Kind::Flag),
    ("stream_options", Kind::Object),
    ("max_tokens", Kind::Count),
    ("max_completion_tokens", Kind::Count),
    ("n", Kind::Count),
    ("temperature", Kind::Number),
    ("top_p", Kind::Number),
    ("tools", Kind::List),
    ("response_format", Kind::Object),
    ("user", Kind::Text),
];

const EMBEDDINGS: [(&str, Kind); 2] = [("model", Kind::Text), ("user", Kind::Text)];

/// Checks the members that the gateway itself relies on, by the look of their JSON. The rest is the provider's to judge.
pub(super) fn validate(op: Operation, body: &RawObject) -> Result<(), Error> {
    let (members, required): (&[_], _) = match op {
        Operation::Chat => (&CHAT, "messages"),
        Operation::Embeddings => (&EMBEDDINGS, "input"),
    };
    for (name, raw) in body.iter() {
        if let Some((_, kind)) = members.iter().find(|(known, _)| *known == name)
            && raw != "null"
            && !kind.fits(raw)
        {
            return Err(Error::invalid(format!("`{name}` must be {}", kind.name())).param(name));
        }
        if let Some(meant) = meant(name) {
            return Err(Error::invalid(format!("`{name}` is spelled `{meant}`")).param(name));
        }
    }
    for name in ["model", required] {
        match body.get(name) {
            None | Some("null" | "[]" | "\"\"") => {
                return Err(Error::invalid(format!("`{name}` is missing or empty")).param(name));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What decides about a call's price.
const PRICED: [&str; 9] = [
    "model",
    "messages",
    "input",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "service_tier",
];

/// Which of those a provider may take `name` for that reads names in any case, as those written in Go do. It would see what nobody
/// here has looked at.
fn meant(name: &str) -> Option<&'static str> {
    if name
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        return None;
    }
    // The long s has no small letter, and the sign of Kelvin no capital one.
    let folded = name.to_uppercase().to_lowercase();
    PRICED.into_iter().find(|priced| *priced == folded)
}

impl Kind {
    fn fits(self, raw: &str) -> bool {
        let first = raw.as_bytes().first();
        match self {
            Self::Text => first == Some(&b'"'),
            Self::Flag => matches!(raw, "true" | "false"),
            Self::Count => raw.bytes().all(|b| b.is_ascii_digit()) && raw.len() < 16,
            Self::Number => matches!(first, Some(b'-' | b'0'..=b'9')),
            Self::List => first == Some(&b'['),
            Self::Object => first == Some(&b'{'),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Flag => "true or false",
            Self::Count => "a whole number",
            Self::Number => "a number",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}
