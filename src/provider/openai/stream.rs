use std::{borrow::Cow, sync::LazyLock};

use bytes::Bytes;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{Terminal, error};
use crate::{
    error::{Error, ErrorKind},
    json::RawObject,
    model::{End, FinishReason, Frame, Operation},
    provider::{
        Decode,
        usage::{self, Told},
    },
    sse::{Decoder, Event},
};

/// The members that make a chunk worth parsing.
static NOTABLE: LazyLock<[Finder<'static>; 4]> = LazyLock::new(|| {
    let names = [
        r#""usage""#,
        r#""usageMetadata""#,
        r#""finish_reason""#,
        r#""error""#,
    ];
    names.map(Finder::new)
});

/// Decodes a stream of chat chunks.
pub(super) struct Chunks {
    decoder: Decoder,
    terminal: Terminal,
    /// How many choices were asked for.
    choices: u64,
    /// A chunk has come.
    begun: bool,
    told: Told,
    finish: Option<FinishReason>,
    usage_chunk: Option<Bytes>,
    /// The choices seen, and whether each has finished; kept where the finish reason ends the stream.
    finished: SmallVec<[(u64, bool); 2]>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, rename = "usageMetadata")]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

impl Chunks {
    pub(super) fn new(terminal: Terminal, choices: u64, max_event: usize) -> Self {
        Self {
            decoder: Decoder::new().max_event(max_event),
            terminal,
            choices: choices.max(1),
            begun: false,
            told: Told::default(),
            finish: None,
            usage_chunk: None,
            finished: SmallVec::new(),
        }
    }

    /// The frame that an event means, if it means one.
    fn frame(&mut self, event: Event) -> Result<Option<Frame>, Error> {
        let Event { name, data } = event;
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Some(self.end()));
        }
        match name.as_deref() {
            Some(b"error") => return Err(failed(self.begun, &data)),
            Some(b"ping") => return Ok(None),
            _ if data.trim_ascii().is_empty() => return Ok(None),
            _ => {}
        }
        let text = object(&data)?;
        let begun = std::mem::replace(&mut self.begun, true);
        let parse = self.terminal == Terminal::FinishReason || is_notable(text);
        if !parse {
            return Ok(Some(Frame::Data(data)));
        }
        let chunk: Chunk<'_> = serde_json::from_str(text).map_err(|_| no_chunk())?;
        if chunk.error.is_some() {
            return Err(failed(begun, &data));
        }
        let choices = chunk.choices.unwrap_or_default();
        self.note(&choices);
        if let Some(class) = chunk.service_tier.and_then(|tier| usage::class(tier.get())) {
            self.told.class = Some(class);
        }
        let Some(raw) = chunk.usage.or(chunk.usage_metadata) else {
            if let Some(usage) = chunk.x_groq.and_then(within) {
                self.hear(usage);
            }
            return Ok(Some(Frame::Data(data)));
        };
        self.hear(raw);
        let silent = choices.is_empty();
        self.take_usage(data, silent)
    }

    /// Providers that send running totals repeat themselves; the last figures are the true ones.
    fn hear(&mut self, usage: &RawValue) {
        let told = usage::read(Operation::Chat, usage.get());
        self.told = Told {
            usage: told.usage.or(self.told.usage),
            cost: told.cost.or(self.told.cost),
            class: told.class.or(self.told.class),
        };
    }

    fn note(&mut self, choices: &[Choice<'_>]) {
        for choice in choices {
            let reason = choice.finish_reason.as_deref().filter(|r| !r.is_empty());
            if let Some(reason) = reason
                && (choice.index == 0 || self.finish.is_none())
            {
                self.finish = Some(FinishReason::from_openai(reason));
            }
            if self.terminal == Terminal::FinishReason {
                match self
                    .finished
                    .iter_mut()
                    .find(|(index, _)| *index == choice.index)
                {
                    Some((_, finished)) => *finished |= reason.is_some(),
                    None => self.finished.push((choice.index, reason.is_some())),
                }
            }
        }
    }

    /// Keeps a chunk with usage for the end; what else it says is forwarded without the usage.
    fn take_usage(&mut self, data: Bytes, silent: bool) -> Result<Option<Frame>, Error> {
        let mut usage_chunk = RawObject::parse(data).map_err(|_| no_chunk())?;
        let rest = (!silent).then(|| {
            let mut rest = usage_chunk.clone();
            rest.remove("usage");
            rest.remove("usageMetadata");
            Frame::Data(rest.into_bytes())
        });
        if usage_chunk.get("choices") != Some("[]") {
            usage_chunk.set("choices", &[(); 0])?;
        }
        self.usage_chunk = Some(usage_chunk.into_bytes());
        Ok(rest)
    }

    /// Whether nothing is missing. There are servers that pass over `n`: one answer is all they give.
    fn all_finished(&self) -> bool {
        let only_one = matches!(self.finished[..], [(0, _)]);
        (only_one || self.finished.len() as u64 >= self.choices)
            && self.finished.iter().all(|(_, finished)| *finished)
    }

    fn end(&mut self) -> Frame {
        Frame::End(End {
            usage: self.told.usage,
            reported_cost: self.told.cost,
            class: self.told.class.unwrap_or_default(),
            finish: self.finish,
            usage_chunk: self.usage_chunk.take(),
        })
    }
}

impl Decode for Chunks {
    fn push(&mut self, chunk: Bytes) {
        self.decoder.push(chunk);
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        while let Some(event) = self.decoder.next_event()? {
            if let Some(frame) = self.frame(event)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn finish(&mut self) -> Result<Frame, Error> {
        // This line is whole, though its end has not come.
        let done = matches!(self.decoder.unended(), b"data: [DONE]" | b"data:[DONE]");
        while let Some(event) = self.decoder.finish()? {
            if let Some(frame) = self.frame(event)? {
                return Ok(frame);
            }
        }
        if done {
            return Ok(self.end());
        }
        match self.terminal {
            Terminal::FinishReason if self.all_finished() => Ok(self.end()),
            Terminal::FinishReason => Err(cut("its finish reason")),
            Terminal::Done => Err(cut("`[DONE]`")),
        }
    }
}

/// The error of an event; whatever its status, who has begun to answer may charge for it.
fn failed(begun: bool, data: &[u8]) -> Error {
    let error = error::in_stream(data);
    match begun {
        true => error.may_be_billed(),
        false => error,
    }
}

/// The usage in Groq's own member, where it stands if it was not asked for.
fn within(x_groq: &RawValue) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Groq<'a> {
        #[serde(borrow)]
        usage: Option<&'a RawValue>,
    }
    let groq: Groq<'_> = serde_json::from_str(x_groq.get()).ok()?;
    groq.usage
}

/// The text of an event, if it looks like a JSON object; whether it is one is for those to find out who read it.
fn object(data: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(data).map_err(|_| no_chunk())?;
    let inner = text.trim_ascii();
    if inner.starts_with('{') && inner.ends_with('}') {
        Ok(text)
    } else {
        Err(no_chunk())
    }
}

/// Whether a notable member stands in `json` with a value other than `null` or an empty string. Inside a string its quotes
/// would be escaped, so text about such members is not taken for them.
fn is_notable(json: &str) -> bool {
    let json = json.as_bytes();
    NOTABLE.iter().any(|name| {
        name.find_iter(json).any(|at| {
            let rest = json[at + name.needle().len()..].trim_ascii_start();
            let value = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
            value.is_some_and(|value| !value.starts_with(b"null") && !value.starts_with(b"\"\""))
        })
    })
}

fn no_chunk() -> Error {
    Error::new(
        ErrorKind::Upstream,
        "the provider's stream has an event that is no chat chunk",
    )
}

fn cut(missing: &str) -> Error {
    Error::new(
        ErrorKind::Cut,
        format!("the provider's stream stopped without {missing}"),
    )
}
