//! Conversations and todo lists: in memory, and with a hot layer in front, which may be flushed, away, or older than it should be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rungs::{
    Error, ErrorKind,
    store::{
        ConversationKey, ConversationStore, Forgotten, Hot, HotEntry, HotKey, HotKind, HotStore,
        Memory, Remembered, StoreFuture, Summary, TodoStore, Turn,
        memory::{MemoryConversations, MemoryHot, MemoryTodos},
    },
    testing::store_contract::{self as contract, conversation, turn},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Counts how often the store behind it is asked.
struct Counted(MemoryConversations, AtomicUsize);

impl Counted {
    fn new() -> Arc<Self> {
        Arc::new(Self(MemoryConversations::new(100), AtomicUsize::new(0)))
    }

    fn loads(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl ConversationStore for Counted {
    fn load<'a>(&'a self, key: &'a ConversationKey) -> StoreFuture<'a, Option<Memory>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.load(key)
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: u64,
        most: usize,
    ) -> StoreFuture<'a, Vec<Remembered>> {
        self.0.read(key, after, most)
    }

    fn append<'a>(
        &'a self,
        key: &'a ConversationKey,
        turns: &'a [Turn],
    ) -> StoreFuture<'a, Memory> {
        self.0.append(key, turns)
    }

    fn summarize<'a>(
        &'a self,
        key: &'a ConversationKey,
        summary: &'a Summary,
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
    ) -> StoreFuture<'a, Forgotten> {
        self.0.forget_idle(key, before)
    }
}

/// Copies that cannot be written for a while.
struct Failing(MemoryHot, AtomicBool);

impl HotStore for Failing {
    fn get<'a>(&'a self, keys: &'a [HotKey]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        self.0.get(keys)
    }

    fn put<'a>(&'a self, entries: &'a [HotEntry], ttl: Duration) -> StoreFuture<'a, ()> {
        match self.1.load(Ordering::Relaxed) {
            true => {
                let away = Error::new(ErrorKind::Unavailable, "away");
                Box::pin(async move { Err(away) })
            }
            false => self.0.put(entries, ttl),
        }
    }
}

fn memory_hot() -> Arc<MemoryHot> {
    Arc::new(MemoryHot::new(1 << 20))
}

async fn count(store: &dyn ConversationStore, key: &ConversationKey) -> Option<u64> {
    let memory = store.load(key).await.expect("it answers");
    memory.map(|memory| memory.count)
}

#[tokio::test]
async fn memory_keeps_the_contracts() {
    contract::conversation_store(&MemoryConversations::new(100)).await;
    contract::todo_store(&MemoryTodos::new(100)).await;
    contract::hot_store(&*memory_hot()).await;
}

#[tokio::test]
async fn a_hot_layer_keeps_the_contracts_of_what_is_behind_it() {
    let cold = Arc::new(MemoryConversations::new(100));
    contract::conversation_store(&Hot::new(cold, memory_hot(), HOUR)).await;
    let cold = Arc::new(MemoryTodos::new(100));
    contract::todo_store(&Hot::new(cold, memory_hot(), HOUR)).await;
}

#[tokio::test]
async fn what_is_hot_is_not_asked_for_again_and_is_rebuilt_after_a_flush() {
    let (cold, hot) = (Counted::new(), memory_hot());
    let store = Hot::new(cold.clone(), hot.clone(), HOUR);
    let key = conversation("acme", "c");
    store
        .append(&key, &[turn("req_1", "q", "a")])
        .await
        .unwrap();
    for _ in 0..10 {
        assert_eq!(count(&store, &key).await, Some(2));
    }
    assert_eq!(cold.loads(), 0, "an append leaves a copy");
    hot.flush();
    for _ in 0..10 {
        assert_eq!(count(&store, &key).await, Some(2));
    }
    assert_eq!(cold.loads(), 1, "read through, and at hand again");

    // One of the two copies alone is no memory.
    let summary = HotKey::new(HotKind::Summary, &key);
    let kept = hot.get(&[summary]).await.unwrap().remove(0);
    let kept = String::from_utf8(kept.unwrap().into()).unwrap();
    assert_eq!(kept, r#"{"summary":null}"#, "that there is none is known");
}

#[tokio::test]
async fn a_reader_that_is_late_brings_nothing_back() {
    let (cold, hot) = (Counted::new(), memory_hot());
    let store = Hot::new(cold.clone(), hot.clone(), HOUR);
    let key = conversation("acme", "c");
    store
        .append(&key, &[turn("req_1", "q", "a")])
        .await
        .unwrap();
    let names = [HotKind::Messages, HotKind::Summary].map(|kind| HotKey::new(kind, &key));
    let old = hot.get(&names).await.unwrap().remove(0).unwrap();
    let late = HotEntry {
        key: names[0].clone(),
        version: 2,
        value: old,
    };
    store
        .append(&key, &[turn("req_2", "q", "a")])
        .await
        .unwrap();
    let late = [late];
    hot.put(&late, HOUR).await.unwrap();
    assert_eq!(count(&store, &key).await, Some(4));
    store.delete(&key).await.unwrap();
    hot.put(&late, HOUR).await.unwrap();
    assert_eq!(count(&store, &key).await, None, "deleted is deleted");
}

#[tokio::test]
async fn a_copy_that_could_not_be_replaced_is_not_believed() {
    let cold = Arc::new(MemoryConversations::new(100));
    let hot = Arc::new(Failing(MemoryHot::new(1 << 20), AtomicBool::new(false)));
    let store = Hot::new(cold, hot.clone(), HOUR);
    let key = conversation("acme", "c");
    store
        .append(&key, &[turn("req_1", "q", "a")])
        .await
        .unwrap();
    hot.1.store(true, Ordering::Relaxed);
    store
        .append(&key, &[turn("req_2", "q", "a")])
        .await
        .unwrap();
    assert_eq!(count(&store, &key).await, Some(4), "not the copy of two");
    hot.1.store(false, Ordering::Relaxed);
    assert_eq!(count(&store, &key).await, Some(4));
    let newest = hot
        .get(&[HotKey::new(HotKind::Messages, &key)])
        .await
        .unwrap();
    let newest = String::from_utf8(newest[0].clone().unwrap().into()).unwrap();
    assert!(newest.contains("req_2"), "repaired on the way: {newest}");
}

#[tokio::test]
async fn what_others_may_read_from_a_copy_is_not_deleted_while_the_copy_cannot_be() {
    let (cold, todos) = (Counted::new(), Arc::new(MemoryTodos::new(100)));
    let hot = Arc::new(Failing(MemoryHot::new(1 << 20), AtomicBool::new(false)));
    let [one, other] = [(); 2].map(|()| Hot::new(cold.clone(), hot.clone(), HOUR));
    let lists = Hot::new(todos, hot.clone(), HOUR);
    let key = conversation("acme", "c");
    for n in 0..3 {
        let turns = [turn(&format!("req_{n}"), "q", "a")];
        one.append(&key, &turns).await.unwrap();
    }
    lists.put(&key, &[]).await.unwrap();
    hot.1.store(true, Ordering::Relaxed);
    let refused = one.delete(&key).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let refused = lists.delete(&key).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(count(&*cold, &key).await, Some(6), "nothing was done");
    hot.1.store(false, Ordering::Relaxed);
    assert!(one.delete(&key).await.unwrap());
    assert!(lists.delete(&key).await.unwrap());
    assert_eq!(count(&other, &key).await, None, "no copy is left");
    one.append(&key, &[turn("req_9", "q", "a")]).await.unwrap();
    assert_eq!(
        count(&other, &key).await,
        Some(2),
        "nor hides what comes after it"
    );
}

#[tokio::test]
async fn what_is_too_long_has_no_copy_and_leaves_no_older_one() {
    let (cold, hot) = (Counted::new(), memory_hot());
    let store = Hot::new(cold.clone(), hot, HOUR);
    let key = conversation("acme", "c");
    let append = async |request: &str, answer: &str| {
        let turns = [turn(request, "q", answer)];
        store.append(&key, &turns).await.expect("it is kept");
    };
    append("req_1", "short").await;
    append("req_2", &"long".repeat(300_000)).await;
    assert_eq!(count(&store, &key).await, Some(4));
    assert_eq!(cold.loads(), 1);
}

#[test]
fn names_are_the_documented_ones_and_never_the_same() {
    let name = |kind, tenant, id| HotKey::new(kind, &conversation(tenant, id)).to_string();
    assert_eq!(
        name(HotKind::Messages, "acme", "c-1"),
        "conv:messages:{acme/c-1}"
    );
    assert_eq!(
        name(HotKind::Summary, "acme", "c-1"),
        "conv:summary:{acme/c-1}"
    );
    assert_eq!(name(HotKind::Todos, "acme", "c-1"), "todo:list:{acme/c-1}");
    assert_ne!(
        name(HotKind::Todos, "a/b", "c"),
        name(HotKind::Todos, "a", "b%2Fc")
    );
    assert_eq!(
        name(HotKind::Todos, "a}/{\u{e9}", "x"),
        "todo:list:{a%7D%2F%7B%C3%A9/x}"
    );
}

#[test]
fn ids_are_checked() {
    for wrong in ["", "a/b", "a b", "caf\u{e9}", "a\nb", &"x".repeat(129)] {
        let error = ConversationKey::new("acme", wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong:?}");
        assert_eq!(error.get_param(), Some("conversationId"));
    }
    ConversationKey::new("acme", "x".repeat(128)).unwrap();
}

#[tokio::test]
async fn todo_lists_are_rebuilt_after_a_flush() {
    let hot = memory_hot();
    let store = Hot::new(Arc::new(MemoryTodos::new(100)), hot.clone(), HOUR);
    let key = conversation("acme", "c");
    let put = store.put(&key, &[]).await.unwrap();
    hot.flush();
    assert_eq!(store.get(&key).await.unwrap(), Some(put));
}
