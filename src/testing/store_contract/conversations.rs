use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{json, value::to_raw_value};

use crate::store::{
    ConversationKey, ConversationStore, Forgotten, Memory, RECENT, Remembered, Summary, TodoItem,
    TodoStatus, TodoStore, Turn,
};

/// A time that every store keeps exactly.
fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second)
}

/// The conversation that `tenant` calls `id`.
///
/// # Panics
/// If the id is none.
#[must_use]
pub fn conversation(tenant: &str, id: &str) -> ConversationKey {
    ConversationKey::new(tenant, id).expect("an id")
}

/// A turn of the call `request`: a question and its answer.
///
/// # Panics
/// Never: both are well-formed.
#[must_use]
pub fn turn(request: &str, question: &str, answer: &str) -> Turn {
    let message = |role, content| {
        to_raw_value(&json!({ "role": role, "content": content })).expect("a message")
    };
    Turn {
        request: request.into(),
        key: Some("k_1".into()),
        user: Some("ann".into()),
        deployment: Some("p/m".into()),
        messages: [message("user", question), message("assistant", answer)].into(),
        at: at(0),
    }
}

fn summary(up_to: u64, text: &str) -> Summary {
    Summary {
        up_to,
        text: text.to_owned(),
        deployment: Some("p/small".into()),
        at: at(7),
    }
}

/// Number, call and text of each message.
fn told(messages: &[Remembered]) -> Vec<(u64, &str, String)> {
    let text = |m: &Remembered| {
        let message: serde_json::Value =
            serde_json::from_str(m.message.get()).expect("a message is JSON");
        message["content"].as_str().unwrap_or_default().to_owned()
    };
    let told = |m| {
        let Remembered {
            number, request, ..
        }: &Remembered = m;
        (*number, &**request, text(m))
    };
    messages.iter().map(told).collect()
}

/// Turns stay in order and are kept once, under a tenant's own name; summaries only reach further; what is deleted is gone, and what
/// was idle for long.
///
/// # Panics
/// When the store breaks its contract.
pub async fn conversation_store(store: &dyn ConversationStore) {
    let ours = conversation("acme", "order-7");
    let theirs = conversation("rival", "order-7");
    let load = async |key| store.load(key).await.expect("the store answers");
    let append = async |key, turns: &[Turn]| {
        let appended = store.append(key, turns).await;
        appended.expect("the turns are appended")
    };

    assert!(load(&ours).await.is_none(), "nothing was said yet");
    let early = store
        .summarize(&ours, &summary(1, "too early"), "req_1")
        .await;
    assert!(!early.expect("an answer"), "nothing to summarize");
    assert!(load(&ours).await.is_none(), "and nothing has begun");

    let turns = [
        turn("req_1", "one?", "ONE"),
        turn("req_2", "two?", "{\"n\": \"\\u00e9\"}"),
    ];
    let memory = append(&ours, &turns).await;
    let expected = [
        (1, "req_1", "one?".to_owned()),
        (2, "req_1", "ONE".to_owned()),
        (3, "req_2", "two?".to_owned()),
        (4, "req_2", "{\"n\": \"\\u00e9\"}".to_owned()),
    ];
    assert_eq!(
        told(&memory.messages),
        expected,
        "an append tells what is there"
    );
    let memory = load(&ours).await.expect("it has begun");
    assert_eq!((told(&memory.messages), memory.count), (expected.into(), 4));
    let (first, kept) = (&memory.messages[0], &turns[0]);
    assert_eq!(first.message.get(), kept.messages[0].get(), "byte for byte");
    assert_eq!(first.at, kept.at);
    assert!(memory.summary.is_none());

    let again = [
        turn("req_2", "two?", "TWO"),
        turn("req_3", "three?", "THREE"),
    ];
    append(&ours, &again).await;
    append(&ours, &again).await;
    let memory = load(&ours).await.expect("it is there");
    assert_eq!(memory.count, 6, "a turn is kept once");
    assert_eq!(told(&memory.messages)[5].2, "THREE");

    assert!(load(&theirs).await.is_none(), "another tenant's is another");
    append(&theirs, &[turn("req_1", "theirs?", "THEIRS")]).await;
    let other = load(&theirs).await.expect("theirs");
    assert_eq!(told(&other.messages)[0].2, "theirs?");
    assert_eq!(load(&ours).await.map(|memory| memory.count), Some(6));

    summaries(store, &ours).await;
    assert_eq!(load(&theirs).await.and_then(|memory| memory.summary), None);
    many(store, &ours).await;
    long(store).await;

    assert!(store.delete(&ours).await.expect("an answer"));
    assert!(load(&ours).await.is_none(), "it is gone");
    assert!(!store.delete(&ours).await.expect("an answer"), "once");
    assert!(load(&theirs).await.is_some(), "theirs is not");
    let anew = append(&ours, &turns[..1]).await;
    assert_eq!((anew.count, anew.summarized()), (2, 0), "it begins anew");
    assert_eq!(load(&ours).await.map(|memory| memory.count), Some(2));
    idle(store).await;
}

/// Conversations that were written to at different times.
async fn idle(store: &dyn ConversationStore) {
    let talks = [
        ("acme", "idle-b", 10),
        ("acme", "idle-a", 30),
        ("zen", "idle-a", 20),
    ];
    for (tenant, id, second) in talks {
        // Not in the order of their times: the newest counts.
        let turns = [second, second - 5].map(|second| Turn {
            at: at(second),
            ..turn(&format!("req_{second}"), "q", "a")
        });
        let key = conversation(tenant, id);
        store.append(&key, &turns).await.expect("appended");
        let summary = summary(2, "to two");
        let request = format!("req_{second}");
        let done = store.summarize(&key, &summary, &request).await;
        assert!(done.expect("an answer"));
        store.load(&key).await.expect("a copy is at hand");
    }
    for most in [1, 2, 100] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(after.as_ref(), most).await.expect("a page");
            assert!(page.len() <= most);
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            listed.extend(page);
        }
        for (tenant, id, second) in talks {
            let key = conversation(tenant, id);
            let found = listed.iter().filter(|(listed, _)| *listed == key);
            let times: Vec<_> = found.map(|(_, written)| *written).collect();
            assert_eq!(times, [at(second)], "each once: {key:?}, {most} at a time");
        }
    }

    let forget = async |key, second| forget_idle(store, key, at(second)).await;
    let [first, newest, theirs] = talks.map(|(tenant, id, _)| conversation(tenant, id));
    let unknown = conversation("acme", "idle-none");
    assert_eq!(forget(&unknown, 30).await, Forgotten::Nothing);
    assert_eq!(forget(&first, 10).await, Forgotten::Nothing, "at that time");
    let memory = store.load(&first).await.expect("an answer");
    let memory = memory.expect("nothing of it is gone");
    assert_eq!((memory.count, memory.summarized()), (4, 2));
    assert_eq!(forget(&first, 11).await, Forgotten::All);
    assert!(store.load(&first).await.expect("an answer").is_none());
    assert!(
        store
            .read(&first, 0, 9)
            .await
            .expect("an answer")
            .is_empty()
    );
    assert_eq!(forget(&first, 11).await, Forgotten::Nothing, "once");
    for key in [&newest, &theirs] {
        let memory = store.load(key).await.expect("an answer");
        assert_eq!(memory.map(|memory| memory.count), Some(4), "{key:?} stays");
    }
    let anew = store.append(&first, &[turn("req_10", "q", "a")]).await;
    let anew = anew.expect("appended");
    assert_eq!((anew.count, anew.summarized()), (2, 0), "it begins anew");
    for key in [&first, &newest, &theirs] {
        assert_eq!(forget(key, 31).await, Forgotten::All);
        assert!(store.load(key).await.expect("an answer").is_none());
    }
}

/// What comes of it, part after part.
async fn forget_idle(
    store: &dyn ConversationStore,
    key: &ConversationKey,
    before: SystemTime,
) -> Forgotten {
    loop {
        let forgotten = store.forget_idle(key, before).await;
        match forgotten.expect("it can be forgotten") {
            Forgotten::Part => {}
            done => return done,
        }
    }
}

/// The conversation has six messages.
async fn summaries(store: &dyn ConversationStore, key: &ConversationKey) {
    for (up_to, request, text, added) in [
        (4, "req_2", "to four", true),
        (4, "req_2", "to four again", false),
        (2, "req_1", "back to two", false),
        (7, "req_3", "of what was never said", false),
        (5, "req_of_old", "of what was deleted", false),
        (5, "req_3", "to five", true),
    ] {
        let done = store.summarize(key, &summary(up_to, text), request).await;
        assert_eq!(done.expect("an answer"), added, "{text}");
    }
    let memory = store
        .load(key)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(memory.summary, Some(summary(5, "to five")));
    let fresh: Vec<_> = memory.fresh().map(|m| m.number).collect();
    assert_eq!(fresh, [6], "what no summary stands for");
}

/// More turns than are at hand.
async fn many(store: &dyn ConversationStore, key: &ConversationKey) {
    let turns: Vec<_> = (0..80)
        .map(|n| turn(&format!("req_many_{n}"), &format!("{n}?"), "yes"))
        .collect();
    let (one, rest) = turns.split_at(1);
    store.append(key, one).await.expect("appended");
    let appended = store.append(key, rest).await.expect("appended");
    let loaded: Memory = store
        .load(key)
        .await
        .expect("an answer")
        .expect("it is there");
    for memory in [appended, loaded] {
        let numbers: Vec<_> = memory.messages.iter().map(|m| m.number).collect();
        assert_eq!(memory.count, 166);
        let newest = (167 - RECENT as u64)..=166;
        assert_eq!(numbers, newest.collect::<Vec<_>>());
    }
    let read = store.read(key, 2, 3).await.expect("an answer");
    let numbers: Vec<_> = read.iter().map(|m| m.number).collect();
    assert_eq!(numbers, [3, 4, 5], "everything that was said is there");
    assert_eq!(told(&read)[2].2, "three?");
    let none = store.read(key, 166, 3).await.expect("an answer");
    assert!(none.is_empty());
}

/// A turn of more and longer messages than go into one statement.
async fn long(store: &dyn ConversationStore) {
    let key = conversation("acme", "long");
    let message = |n: usize| {
        let content = match n {
            7 | 8 => "long ".repeat(300_000),
            _ => format!("{n}: caf\u{e9} \u{1f600} \" \\ \0"),
        };
        to_raw_value(&json!({ "role": "user", "content": content })).expect("a message")
    };
    let long = Turn {
        messages: (0..500).map(message).collect(),
        ..turn("req_long", "", "")
    };
    let turns = [
        turn("req_1", "one?", "ONE"),
        long,
        turn("req_3", "three?", "THREE"),
    ];
    store.append(&key, &turns).await.expect("appended");
    let read = store.read(&key, 0, 1_000).await.expect("an answer");
    let numbers: Vec<_> = read.iter().map(|m| m.number).collect();
    assert_eq!(numbers, (1..=504).collect::<Vec<_>>());
    let said = turns.iter().flat_map(|turn| &*turn.messages);
    for (read, said) in read.iter().zip(said) {
        assert_eq!(read.message.get(), said.get(), "byte for byte");
    }
    assert!(store.delete(&key).await.expect("an answer"));
}

/// A list is replaced as a whole, and is a tenant's own.
///
/// # Panics
/// When the store breaks its contract.
pub async fn todo_store(store: &dyn TodoStore) {
    let (ours, theirs) = (conversation("acme", "c"), conversation("rival", "c"));
    let get = async |key| store.get(key).await.expect("the store answers");
    let item = |id, title: &str, status| TodoItem {
        id,
        title: title.to_owned(),
        description: "\"quoted\" {and} caf\u{e9}".to_owned(),
        status,
    };
    assert!(get(&ours).await.is_none());
    let first = [
        item(1, "plan", TodoStatus::InProgress),
        item(2, "do", TodoStatus::NotStarted),
    ];
    let put = store.put(&ours, &first).await.expect("it is put");
    assert_eq!((put.version, &put.items[..]), (1, &first[..]));
    assert_eq!(get(&ours).await.as_ref(), Some(&put));
    assert!(get(&theirs).await.is_none());

    let second = [item(2, "do", TodoStatus::Completed)];
    let put = store.put(&ours, &second).await.expect("it is put");
    assert_eq!((put.version, &put.items[..]), (2, &second[..]));
    assert_eq!(get(&ours).await, Some(put));
    let empty = store.put(&theirs, &[]).await.expect("it is put");
    assert_eq!(get(&theirs).await, Some(empty), "an empty list is a list");

    assert!(store.delete(&ours).await.expect("an answer"));
    assert!(get(&ours).await.is_none());
    assert!(!store.delete(&ours).await.expect("an answer"));
    assert!(get(&theirs).await.is_some());
    let anew = store.put(&ours, &second).await.expect("it is put");
    assert_eq!(anew.version, 1);
    assert_eq!(get(&ours).await, Some(anew));
}
