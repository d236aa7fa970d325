use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::stream::Chunks;
use crate::{error::Error, model::Frame, provider::Decode};

/// Holds back what a stream begins with before it says anything, usually a chunk with the role alone. Providers send it when they
/// have accepted a request, not when they can answer it: a failure right after it is still one before the first content.
pub(super) struct Opening {
    chunks: Chunks,
    held: VecDeque<Frame>,
    /// Their size.
    size: usize,
    over: bool,
}

/// So many chunks are held at most.
const MOST: usize = 64;

/// And so many bytes: what is so large is no announcement.
const MOST_BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: BTreeMap<Cow<'a, str>, &'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

impl Opening {
    pub(super) fn new(chunks: Chunks) -> Self {
        Self {
            chunks,
            held: VecDeque::new(),
            size: 0,
            over: false,
        }
    }

    fn hold(&mut self, frame: Frame) {
        if let Frame::Data(data) = &frame {
            self.size += data.len();
        }
        self.over = self.held.len() >= MOST || self.size > MOST_BYTES || says_something(&frame);
        self.held.push_back(frame);
    }
}

impl Decode for Opening {
    fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        while !self.over {
            match self.chunks.next_frame()? {
                Some(frame) => self.hold(frame),
                None => return Ok(None),
            }
        }
        match self.held.pop_front() {
            Some(frame) => Ok(Some(frame)),
            None => self.chunks.next_frame(),
        }
    }

    fn finish(&mut self) -> Result<Frame, Error> {
        while !self.over {
            let frame = self.chunks.finish()?;
            self.hold(frame);
        }
        match self.held.pop_front() {
            Some(frame) => Ok(frame),
            None => self.chunks.finish(),
        }
    }
}

/// Whether a frame is more than an announcement. What is not understood is taken for content.
fn says_something(frame: &Frame) -> bool {
    let Frame::Data(data) = frame else {
        return true;
    };
    let Ok(Chunk { choices }) = serde_json::from_slice(data) else {
        return true;
    };
    let is_empty = |raw: &RawValue| matches!(raw.get(), "null" | "\"\"" | "[]" | "{}");
    choices.iter().any(|choice| {
        let mut members = choice.delta.iter();
        members.any(|(name, value)| name != "role" && !is_empty(value))
            || choice.finish_reason.is_some_and(|reason| !is_empty(reason))
    })
}
