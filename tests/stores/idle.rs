//! R30: conversations that nobody writes to any more go, in parts, and those that somebody writes to stay.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rungs::{
    layers::conversation::Conversations,
    store::{ConversationKey, ConversationStore, Forgotten, TodoStore, Turn},
    testing::store_contract::{conversation, turn},
};
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, Connection};
use tokio::task::JoinSet;

use crate::{dir::Dir, postgres::Database};

/// When all was said.
fn long_ago() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

fn before() -> SystemTime {
    long_ago() + Duration::from_secs(1)
}

fn old(request: &str) -> Turn {
    Turn {
        at: long_ago(),
        ..turn(request, "q", "a")
    }
}

async fn forget(store: &dyn ConversationStore, key: &ConversationKey) -> Forgotten {
    store
        .forget_idle(key, before())
        .await
        .expect("it can be forgotten")
}

/// The sizes of its messages.
async fn sizes(store: &dyn ConversationStore, key: &ConversationKey) -> Vec<usize> {
    let messages = store.read(key, 0, 10_000).await.expect("messages");
    messages.iter().map(|m| m.message.get().len()).collect()
}

/// No part is more than a statement writes: 200 messages, and a mebibyte unless it is one message.
async fn parts(store: &dyn ConversationStore) {
    let key = conversation("acme", "long");
    let message = |n: usize| {
        let letters = if (300..310).contains(&n) { 400_000 } else { 10 };
        let text = format!("\"{}\"", "x".repeat(letters));
        RawValue::from_string(text).expect("JSON")
    };
    let turn = Turn {
        messages: (0..700).map(message).collect(),
        ..old("req_1")
    };
    store.append(&key, &[turn]).await.expect("appended");
    let (mut left, mut parts) = (sizes(store, &key).await, 0);
    loop {
        let done = forget(store, &key).await;
        parts += 1;
        let rest = sizes(store, &key).await;
        assert!(left.ends_with(&rest), "the oldest go first");
        let gone = &left[..left.len() - rest.len()];
        assert!(gone.len() <= 200, "{}", gone.len());
        let bytes: usize = gone.iter().sum();
        assert!(bytes <= 1 << 20 || gone.len() == 1, "{bytes}");
        left = rest;
        if done == Forgotten::All {
            break;
        }
        assert_eq!(done, Forgotten::Part);
    }
    assert!(left.is_empty() && (7..20).contains(&parts), "{parts}");
    assert!(store.load(&key).await.expect("an answer").is_none());
}

/// What is written to while it goes keeps what is left of it.
async fn written_to_on_the_way(store: &dyn ConversationStore) {
    let key = conversation("acme", "revived");
    let turns: Vec<_> = (0..150).map(|n| old(&format!("req_{n}"))).collect();
    store.append(&key, &turns).await.expect("appended");
    assert_eq!(forget(store, &key).await, Forgotten::Part);
    store
        .append(&key, &[turn("req_new", "q", "a")])
        .await
        .expect("appended");
    assert_eq!(forget(store, &key).await, Forgotten::Nothing);
    let memory = store
        .load(&key)
        .await
        .expect("an answer")
        .expect("it is there");
    let first = memory.messages.first().map(|message| message.number);
    assert_eq!((first, memory.count), (Some(203), 302));
    assert!(store.delete(&key).await.expect("an answer"));
}

/// A list goes with its conversation, and keeps it; `run` is another program's statement.
async fn lists(
    store: &dyn ConversationStore,
    lists: &dyn TodoStore,
    run: impl AsyncFn(&'static str),
) {
    let [idle, listed, talked, alone] =
        ["idle", "listed", "talked", "alone"].map(|id| conversation("acme", id));
    for key in [&idle, &listed] {
        store.append(key, &[old("req_1")]).await.expect("appended");
    }
    store
        .append(&talked, &[turn("req_1", "q", "a")])
        .await
        .expect("appended");
    for key in [&idle, &listed, &talked, &alone] {
        lists.put(key, &[]).await.expect("put");
    }
    run("UPDATE todo_lists SET updated_ms = 0 WHERE conversation_id <> 'listed'").await;
    for (key, outcome) in [
        (&idle, Forgotten::All),
        (&listed, Forgotten::Nothing),
        (&talked, Forgotten::Nothing),
        (&alone, Forgotten::All),
    ] {
        let page = store.list(None, 100).await.expect("a page");
        let listed = page.iter().find(|(listed, _)| listed == key);
        let is_old = listed.is_some_and(|(_, written)| *written < before());
        assert_eq!(is_old, outcome == Forgotten::All, "{key:?}: {page:?}");
        assert_eq!(forget(store, key).await, outcome, "{key:?}");
        let stays = outcome == Forgotten::Nothing;
        let list = lists.get(key).await.expect("an answer");
        assert_eq!(list.is_some(), stays, "{key:?}");
        let memory = store.load(key).await.expect("an answer");
        assert_eq!(memory.is_some(), stays, "{key:?}");
    }
}

#[tokio::test]
async fn r30_a_long_conversation_goes_in_small_parts() {
    let dir = Dir::new("idle_parts");
    let file = dir.open().await;
    let database = Database::new();
    let store = database.store();
    for store in [
        &file.conversations() as &dyn ConversationStore,
        &store.conversations(),
    ] {
        parts(store).await;
        written_to_on_the_way(store).await;
    }
    for table in ["conversations", "messages", "context_summaries"] {
        let count = format!("SELECT count(*) FROM {table}");
        let left = (dir.number(&count).await, database.number(&count).await);
        assert_eq!(left, (0, 0), "{table}");
    }
}

#[tokio::test]
async fn a_todo_list_goes_with_its_conversation_and_not_before() {
    let dir = Dir::new("idle_lists");
    let file = dir.open().await;
    let run = async |sql: &'static str| {
        let done = sqlx::query(AssertSqlSafe(sql))
            .execute(&mut dir.raw().await)
            .await;
        done.expect("it is done");
    };
    lists(&file.conversations(), &file.todos(), run).await;
    let database = Database::new();
    let store = database.store();
    let run = async |sql: &'static str| database.run(sql).await;
    lists(&store.conversations(), &store.todos(), run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r30_several_processes_forget_at_once_and_each_conversation_once() {
    let database = Database::new();
    let store = database.store().conversations();
    for n in 0..60 {
        let key = conversation("acme", &format!("c-{n}"));
        let turns: Vec<_> = match n % 3 {
            0 => vec![old("req_1"), turn("req_2", "q", "a")],
            1 => vec![old("req_1")],
            _ => (0..120).map(|n| old(&format!("req_{n}"))).collect(),
        };
        store.append(&key, &turns).await.expect("appended");
    }
    let mut processes = JoinSet::new();
    for _ in 0..4 {
        let store = database.store();
        processes.spawn(async move {
            let conversations = Conversations::new(Arc::new(store.conversations()), 10);
            let forgotten = conversations.forget_idle(before()).await;
            forgotten.expect("none is in the way of another")
        });
    }
    let forgotten: u64 = processes.join_all().await.iter().sum();
    assert_eq!(forgotten, 40);
    let left = "SELECT count(*) FROM conversations";
    assert_eq!(database.number(left).await, 20);
    assert_eq!(database.number("SELECT count(*) FROM messages").await, 80);
}

#[tokio::test]
async fn a_turn_that_another_process_writes_meanwhile_wins() {
    let database = Database::new();
    let store = database.store().conversations();
    let key = conversation("acme", "c");
    store.append(&key, &[old("req_1")]).await.expect("appended");
    let mut other = database.raw().await;
    let mut turn = other.begin().await.expect("it begins");
    let written = "UPDATE conversations SET updated_ms = 2000000000000";
    sqlx::query(written)
        .execute(&mut *turn)
        .await
        .expect("written");
    let commit = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        turn.commit().await.expect("committed");
    };
    let (forgotten, ()) = tokio::join!(forget(&store, &key), commit);
    assert_eq!(forgotten, Forgotten::Nothing);
    assert_eq!(sizes(&store, &key).await.len(), 2);
}
