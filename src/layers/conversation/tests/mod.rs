use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

use super::*;
use crate::{
    error::{Error, ErrorKind},
    model::{Call, CallContext, ModelRequest, ModelResponse, ModelService, Recall},
    store::{
        ConversationKey, ConversationStore, Durability, Forgotten, Memory, Remembered, Spool,
        StoreFuture, Summary, Topic, Turn, memory::MemoryConversations,
    },
    testing::{Reply, Scripted, chat, store_contract::turn},
};

mod compression;
mod property;
mod spooled;
mod turns;
mod writing;

/// A call of `tenant` in the conversation `c` with these messages.
fn saying(tenant: &str, messages: Value) -> ModelRequest {
    ModelRequest {
        ctx: CallContext::new(Call {
            conversation: Some("c".into()),
            key: Some("k".into()),
            accounts: Arc::new(["key:k".into()]),
            ..Call::new(tenant)
        }),
        ..chat(&json!({ "model": "auto", "messages": messages }))
    }
}

fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

fn key() -> ConversationKey {
    ConversationKey::new("t", "c").unwrap()
}

/// Asks, and reads the answer to its end.
async fn ask(service: &impl ModelService, request: ModelRequest) -> Result<(), Error> {
    let ModelResponse { body, .. } = service.clone().oneshot(request).await?;
    body.collect(1 << 20).await.map(drop)
}

/// The messages of the request that has arrived last.
fn last_seen(provider: &Scripted) -> Vec<Value> {
    let seen = provider.seen();
    let body = &seen.last().expect("a request").body;
    body.get_as("messages").unwrap().unwrap()
}

/// The texts of messages.
fn texts(messages: &[Value]) -> Vec<&str> {
    let texts = messages.iter();
    texts
        .map(|m| m["content"].as_str().unwrap_or_default())
        .collect()
}

/// Waits for what a task does.
async fn until(done: impl AsyncFn() -> bool) {
    for _ in 0..10_000 {
        if done().await {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("waited in vain");
}

/// A store that is away for a number of asks, or for good, and may hide that it has done something.
struct Moody {
    inner: MemoryConversations,
    away: AtomicU32,
    kind: ErrorKind,
    after: bool,
    /// The tenant that it is there for all the same.
    there_for: Option<&'static str>,
    /// It cannot be read either.
    blind: AtomicBool,
    appends: Mutex<Vec<usize>>,
}

impl Moody {
    fn new(away: u32) -> Self {
        Self {
            inner: MemoryConversations::new(100),
            away: AtomicU32::new(away),
            kind: ErrorKind::Unavailable,
            after: false,
            there_for: None,
            blind: AtomicBool::new(false),
            appends: Mutex::default(),
        }
    }

    fn fails(&self) -> bool {
        let left = |n: u32| n.checked_sub(1);
        let order = Ordering::Relaxed;
        self.away.fetch_update(order, order, left).is_ok()
    }
}

impl ConversationStore for Moody {
    fn load<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<Memory>> {
        match self.blind.load(Ordering::Relaxed) {
            true => Box::pin(async { Err(Error::new(ErrorKind::Unavailable, "away")) }),
            false => self.inner.load(key),
        }
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<Remembered>> {
        self.inner.read(key, after, most)
    }

    fn append<'a>(
        &'a self,
        key: &'a ConversationKey,
        turns: &'a [Turn],
    ) -> StoreFuture<'a, Memory> {
        self.appends.lock().unwrap().push(turns.len());
        Box::pin(async move {
            let is_there = self.there_for == Some(key.tenant());
            if is_there || !self.fails() {
                return self.inner.append(key, turns).await;
            }
            if self.after {
                self.inner.append(key, turns).await?;
            }
            Err(Error::new(self.kind, "away"))
        })
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
        request: &'a str,
    ) -> StoreFuture<'a, bool> {
        self.inner.summarize(key, summary, request)
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        self.inner.delete(key)
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        most: usize,
    ) -> StoreFuture<'a, Vec<(ConversationKey, SystemTime)>> {
        self.inner.list(after, most)
    }

    fn forget_idle<'a>(
        &'a self,
        key: &'a ConversationKey,
        before: SystemTime,
    ) -> StoreFuture<'a, Forgotten> {
        self.inner.forget_idle(key, before)
    }
}

fn conversations(store: impl ConversationStore + 'static) -> Conversations {
    Conversations::new(Arc::new(store), 100)
}

fn in_memory() -> Conversations {
    conversations(MemoryConversations::new(100))
}

/// A spool that outlives who uses it.
#[derive(Default)]
struct Shelf(Mutex<BTreeMap<u64, Vec<u8>>>, AtomicU32, AtomicBool);

impl Shelf {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Spool for Shelf {
    fn add(&self, topic: Topic, record: Vec<u8>) -> u64 {
        assert_eq!(topic, Topic::Turns);
        let number = u64::from(self.1.fetch_add(1, Ordering::Relaxed));
        self.0.lock().unwrap().insert(number, record);
        number
    }

    fn done(&self, numbers: &[u64]) {
        let mut records = self.0.lock().unwrap();
        for number in numbers {
            assert!(records.remove(number).is_some(), "done with once");
        }
    }

    fn has_room(&self) -> bool {
        self.1.load(Ordering::Relaxed) < 1_000
    }

    /// Never, where its disk hangs.
    fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        let hangs = self.2.load(Ordering::Relaxed) && what == Durability::PowerLoss;
        hangs.then(|| -> StoreFuture<'static, ()> { Box::pin(std::future::pending()) })
    }

    fn left(&self, _: Topic) -> Vec<(u64, Vec<u8>)> {
        self.0.lock().unwrap().clone().into_iter().collect()
    }
}
