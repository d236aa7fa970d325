//! What copies look like: JSON that people can read with `redis-cli` too.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::store::{
    Memory, Remembered, Summary, TodoItem, TodoList,
    plain::{millis, time},
};

/// The newest messages.
#[derive(Serialize, Deserialize)]
struct Messages {
    messages: Vec<Message>,
}

#[derive(Serialize, Deserialize)]
struct Message {
    number: u64,
    request: Arc<str>,
    at_ms: i64,
    message: Box<RawValue>,
}

/// The newest summary. That there is none is told too.
#[derive(Serialize, Deserialize)]
struct Newest {
    summary: Option<Text>,
}

#[derive(Serialize, Deserialize)]
struct Text {
    up_to: u64,
    text: String,
    deployment: Option<String>,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Todos {
    version: u64,
    items: Vec<TodoItem>,
    updated_ms: i64,
}

pub(super) fn of_messages(memory: &Memory) -> Option<Bytes> {
    let messages = memory.messages.iter().map(|m| Message {
        number: m.number,
        request: Arc::clone(&m.request),
        at_ms: millis(m.at),
        message: m.message.clone(),
    });
    write(&Messages {
        messages: messages.collect(),
    })
}

pub(super) fn of_summary(memory: &Memory) -> Option<Bytes> {
    let text = |summary: &Summary| Text {
        up_to: summary.up_to,
        text: summary.text.clone(),
        deployment: summary.deployment.as_ref().map(|d| d.as_str().to_owned()),
        at_ms: millis(summary.at),
    };
    write(&Newest {
        summary: memory.summary.as_ref().map(text),
    })
}

/// The memory of two copies, which may be of different age; `None` if they do not fit together, or cannot be read.
pub(super) fn memory(messages: &[u8], summary: &[u8]) -> Option<Memory> {
    let Messages { messages } = serde_json::from_slice(messages).ok()?;
    let Newest { summary } = serde_json::from_slice(summary).ok()?;
    let messages: Vec<_> = messages
        .into_iter()
        .map(|m| Remembered {
            number: m.number,
            request: m.request,
            message: m.message,
            at: time(m.at_ms),
        })
        .collect();
    let count = messages.last()?.number;
    let summary = summary.map(|text| Summary {
        up_to: text.up_to,
        text: text.text,
        deployment: text.deployment.map(|id| id.as_str().into()),
        at: time(text.at_ms),
    });
    let fits = summary.as_ref().is_none_or(|s| s.up_to <= count);
    fits.then_some(Memory {
        summary,
        messages,
        count,
    })
}

pub(super) fn of_todos(list: &TodoList) -> Option<Bytes> {
    write(&Todos {
        version: list.version,
        items: list.items.clone(),
        updated_ms: millis(list.updated),
    })
}

pub(super) fn todos(list: &[u8]) -> Option<TodoList> {
    let list: Todos = serde_json::from_slice(list).ok()?;
    Some(TodoList {
        version: list.version,
        items: list.items,
        updated: time(list.updated_ms),
    })
}

fn write(record: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(record).ok().map(Bytes::from)
}
