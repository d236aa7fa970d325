//! How long a call waits for what was said before, when that is hot: a thousand conversations in flight, each of fifty messages,
//! each asked for by a call now and then. In memory, and in Redis. Percentiles, because it is the slow ones that are felt.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::join_all;
use rungs::{
    layers::conversation::Conversations,
    store::{
        ConversationKey, ConversationStore, Hot, HotStore, LONGEST_WINDOW, StoreFuture,
        memory::{MemoryConversations, MemoryHot},
        redis::{Redis, RedisConfig, RedisHot},
    },
    testing::{
        servers::RedisServer,
        store_contract::{conversation, turn},
    },
};
use tokio::time::sleep;

const CONVERSATIONS: u32 = 1_000;
const LOADS: u32 = 10;

/// The pause of a conversation between two loads: an answer takes its time, and a thousand calls a second come in.
const PAUSE: Duration = Duration::from_secs(1);

/// A context may take this long, 99 times of 100.
const TARGET: Duration = Duration::from_millis(1);

/// What nobody may ask here: everything is hot.
struct Cold(MemoryConversations);

impl ConversationStore for Cold {
    fn load<'a>(
        &'a self,
        key: &'a ConversationKey,
    ) -> StoreFuture<'a, Option<rungs::store::Memory>> {
        println!("{key:?} was not hot");
        self.0.load(key)
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<rungs::store::Remembered>> {
        self.0.read(key, after, most)
    }

    fn append<'a>(
        &'a self,
        key: &'a ConversationKey,
        turns: &'a [rungs::store::Turn],
    ) -> StoreFuture<'a, rungs::store::Memory> {
        self.0.append(key, turns)
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a rungs::store::Summary,
        request: &'a str,
    ) -> StoreFuture<'a, bool> {
        self.0.summarize(key, summary, request)
    }

    fn delete<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, bool> {
        self.0.delete(key)
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a ConversationKey>,
        most: usize,
    ) -> StoreFuture<'a, Vec<(ConversationKey, SystemTime)>> {
        self.0.list(after, most)
    }

    fn forget_idle<'a>(
        &'a self,
        key: &'a ConversationKey,
        before: SystemTime,
    ) -> StoreFuture<'a, rungs::store::Forgotten> {
        self.0.forget_idle(key, before)
    }
}

#[tokio::main]
async fn main() {
    measure("memory", Arc::new(MemoryHot::new(256 << 20))).await;
    let server = RedisServer::start().expect("a Redis");
    let url = server.url().parse().expect("a URL");
    let redis = Redis::open(&url, RedisConfig::default()).await;
    let redis = Arc::new(redis.expect("a Redis that will do"));
    measure("redis", Arc::new(RedisHot::new(redis))).await;
}

async fn measure(name: &str, hot: Arc<dyn HotStore>) {
    let cold = Cold(MemoryConversations::new(CONVERSATIONS.into()));
    let store = Arc::new(Hot::new(Arc::new(cold), hot, Duration::from_secs(3600)));
    let turns: Vec<_> = (0..LONGEST_WINDOW / 2)
        .map(|n| {
            turn(
                &format!("req_{n}"),
                "why is the sky blue?",
                &"word ".repeat(60),
            )
        })
        .collect();
    let keys: Vec<_> = (0..CONVERSATIONS)
        .map(|n| conversation("acme", &format!("c-{n}")))
        .collect();
    for key in &keys {
        store.append(key, &turns).await.expect("it is kept");
    }
    let conversations = Conversations::new(store, 10_000);
    let loading = keys.iter().enumerate().map(|(n, key)| {
        let conversations = conversations.clone();
        async move {
            // They do not all come at once.
            sleep(PAUSE * u32::try_from(n).unwrap_or(0) / CONVERSATIONS).await;
            let mut took = Vec::new();
            for _ in 0..LOADS {
                let began = Instant::now();
                let memory = conversations.load(key).await.expect("it answers");
                took.push(began.elapsed());
                assert_eq!(
                    memory.map(|memory| memory.messages.len()),
                    Some(LONGEST_WINDOW)
                );
                sleep(PAUSE).await;
            }
            took
        }
    });
    let mut took: Vec<_> = join_all(loading).await.into_iter().flatten().collect();
    took.sort_unstable();
    let at = |percent: f64| took[(took.len() as f64 * percent / 100.0) as usize];
    println!(
        "context from {name}, {CONVERSATIONS} conversations: p50 {:?}, p99 {:?}, p99.9 {:?} (target p99 {TARGET:?})",
        at(50.0),
        at(99.0),
        at(99.9),
    );
}
