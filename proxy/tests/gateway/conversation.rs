//! Conversations that the gateway remembers: in a file, in databases that processes share, over restarts and flushes.

use rungs::{
    catalog::{Deployment, Price},
    testing::{
        Reply, Scripted, Upstream,
        servers::{PostgresServer, RedisServer},
    },
};
use serde_json::{Value, json};

use crate::{ledger::change, support::*};

const SECRET: &str = "tW5-oPq81-vw7x-Tk20-zq4-Hn81-vw7x";
const OTHER: &str = "another-key-of-16";
const CONVERSATION: &str = "x-rungs-conversation";

/// A model that counts its answers, and what it was asked.
struct World {
    asked: Scripted,
    upstream: Upstream,
}

impl World {
    async fn start() -> Self {
        let free = Deployment::new("scripted", "m").price(Price::FREE);
        let asked = Scripted::by(free, |request| {
            let messages: Vec<Value> = request.body.get_as("messages").unwrap().unwrap();
            let system = messages[0]["content"].as_str().unwrap_or_default();
            match system.starts_with("You keep the memory") {
                true => Reply::text("they count up"),
                false => Reply::text(&format!("answer to {}", last_text(&messages))),
            }
        });
        Self {
            upstream: Upstream::serve([asked.clone()]).await.unwrap(),
            asked,
        }
    }

    /// Two tenants, and this store.
    fn config(&self, store: &str) -> String {
        format!(
            "{store}\n{}{}{}{}",
            key("ours", KEY, "tenant = \"acme\""),
            key("theirs", OTHER, "tenant = \"rival\""),
            provider("p", &self.upstream.base_url()),
            free("m", "p", "L0")
        )
    }

    /// The texts that the model was shown last.
    fn shown(&self) -> Vec<String> {
        let seen = self.asked.seen();
        let messages = seen.last().unwrap().body.get_as::<Vec<Value>>("messages");
        let messages = messages.unwrap().unwrap();
        messages
            .iter()
            .map(|m| m["content"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

fn last_text(messages: &[Value]) -> String {
    let text = messages.last().and_then(|m| m["content"].as_str());
    text.unwrap_or_default().to_owned()
}

async fn say(gateway: &Gateway, conversation: &str, message: &str) -> Answer {
    let body = json!({ "message": message, "conversationId": conversation });
    let request = gateway.post("/v1/chat", body.to_string());
    Answer::read(request.send().await.unwrap()).await
}

async fn context(gateway: &Gateway, conversation: &str) -> Answer {
    gateway.get(&format!("/v1/context/{conversation}")).await
}

/// What is remembered, as texts, once so many messages are.
async fn remembered(gateway: &Gateway, conversation: &str) -> Vec<String> {
    let answer = context(gateway, conversation).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let messages = answer.json()["recentMessages"].clone();
    let messages = messages.as_array().unwrap().iter();
    messages
        .map(|m| m["content"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_client_sends_only_what_is_new_by_every_route() {
    let world = World::start().await;
    let gateway = Gateway::serve(&world.config("")).with_key(KEY);
    let answer = say(&gateway, "c-1", "one").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["result"]["response"], "answer to one");
    assert_eq!(json["result"]["model"], "m");
    assert_eq!(json["context"]["conversationId"], "c-1");
    assert!(json["performance"]["durationMs"].is_u64());

    let body = json!({ "message": "two", "conversationId": "c-1" });
    let route = gateway.post("/v1/route", body.to_string()).send().await;
    assert_eq!(route.unwrap().status(), 200);
    let mut stream = chat_stream("m", "three");
    stream["messages"] = json!([
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": "three" },
    ]);
    let answer = gateway.ask_with(&stream, &[(CONVERSATION, "c-1")]).await;
    assert_eq!(answer.streamed(), "answer to three");
    assert_eq!(
        world.shown(),
        [
            "be brief",
            "one",
            "answer to one",
            "two",
            "answer to two",
            "three"
        ]
    );
    let shown = context(&gateway, "c-1").await.json();
    assert_eq!(
        (&shown["messageCount"], &shown["summary"]),
        (&json!(6), &Value::Null)
    );
    let last = &shown["recentMessages"][5];
    assert_eq!(
        (&last["role"], &last["content"]),
        (&json!("assistant"), &json!("answer to three"))
    );
    assert_eq!(last["metadata"]["number"], 6);
    assert_eq!(last["metadata"]["requestId"], answer.header("x-request-id"));
    assert!(last["timestamp"].as_str().unwrap().ends_with('Z'));

    // A first question is the same in every conversation, and comes from the cache; behind it the same words are another one.
    let calls = world.asked.calls();
    say(&gateway, "c-2", "one").await;
    assert_eq!(world.asked.calls(), calls);
    say(&gateway, "c-2", "one").await;
    assert_eq!(world.asked.calls(), calls + 1);
    assert_eq!(world.shown(), ["one", "answer to one", "one"]);
}

#[tokio::test]
async fn a_conversation_without_a_name_gets_one() {
    let world = World::start().await;
    let gateway = Gateway::serve(&world.config("")).with_key(KEY);
    let request = gateway.post("/v1/chat", json!({ "message": "one" }).to_string());
    let answer = Answer::read(request.send().await.unwrap()).await;
    let id = answer.json()["context"]["conversationId"].clone();
    let id = id.as_str().unwrap();
    assert_eq!(id.len(), 36);
    say(&gateway, id, "two").await;
    assert_eq!(world.shown(), ["one", "answer to one", "two"]);
}

#[tokio::test]
async fn t13_another_tenants_conversation_does_not_exist() {
    let world = World::start().await;
    let gateway = Gateway::serve(&world.config("")).with_key(KEY);
    say(&gateway, "c", "our secret").await;
    let gateway = gateway.with_key(OTHER);
    for method in ["GET", "DELETE"] {
        let request = gateway.request(method, "/v1/context/c");
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 404, "{method}: {answer:?}");
        let unknown = Answer::read(
            gateway
                .request(method, "/v1/context/d")
                .send()
                .await
                .unwrap(),
        )
        .await;
        let said = |answer: &Answer| answer.error()["message"].to_string();
        assert_eq!(said(&answer), said(&unknown).replace("`d`", "`c`"));
    }
    say(&gateway, "c", "what did they say?").await;
    assert_eq!(world.shown(), ["what did they say?"]);
    let headers = [(CONVERSATION, "c")];
    gateway.ask_with(&chat("m", "and now?"), &headers).await;
    assert_eq!(world.shown().len(), 3);
    assert!(!world.shown().concat().contains("our secret"));
    let gateway = gateway.with_key(KEY);
    assert_eq!(
        remembered(&gateway, "c").await.len(),
        2,
        "nothing was added to it"
    );
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_what_is_wrong_is_named() {
    let world = World::start().await;
    let gateway = Gateway::serve(&world.config("")).with_key(KEY);
    say(&gateway, "c", "one").await;
    let delete = async || {
        gateway
            .request("DELETE", "/v1/context/c")
            .send()
            .await
            .unwrap()
    };
    assert_eq!(delete().await.status(), 204);
    assert_eq!(delete().await.status(), 404);
    assert_eq!(context(&gateway, "c").await.status, 404);
    say(&gateway, "c", "two").await;
    assert_eq!(world.shown(), ["two"]);

    let calls = world.asked.calls();
    for wrong in ["a b", "a/b", "", &"x".repeat(129)] {
        let answer = say(&gateway, wrong, "q").await;
        assert_eq!(
            (answer.status, &answer.error()["param"]),
            (400, &json!("conversationId"))
        );
        let answer = gateway
            .ask_with(&chat("m", "q"), &[(CONVERSATION, wrong)])
            .await;
        assert_eq!(
            (answer.status, &answer.error()["param"]),
            (400, &json!(CONVERSATION))
        );
    }
    for body in [
        "{}",
        r#"{"message":" "}"#,
        r#"{"message":"q","stream":"yes"}"#,
    ] {
        let request = gateway.post("/v1/chat", body);
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert_eq!(context(&gateway, "a%20b").await.status, 400);
    assert_eq!(context(&gateway, "%FF").await.status, 400);
    assert_eq!(world.asked.calls(), calls, "nobody was asked");
}

#[tokio::test]
async fn progress_is_told_as_it_happens() {
    let world = World::start().await;
    let gateway = Gateway::serve(&world.config("")).with_key(KEY);
    let ask = async |body: Value| {
        let request = gateway.post("/v1/chat", body.to_string());
        Answer::read(request.send().await.unwrap()).await
    };
    let body = json!({ "message": "one", "conversationId": "c", "stream": true });
    let answer = ask(body).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let names = |answer: &Answer| -> Vec<String> {
        let names = answer
            .text
            .lines()
            .filter_map(|l| l.strip_prefix("event: "));
        names.map(str::to_owned).collect()
    };
    let all = names(&answer);
    assert_eq!(
        all.first().map(String::as_str),
        Some("accepted"),
        "{answer:?}"
    );
    assert_eq!(all.last().map(String::as_str), Some("done"));
    let events: Vec<Value> = answer
        .events()
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    assert_eq!(events[0]["conversationId"], "c");
    assert_eq!(events[0]["requestId"], answer.header("x-request-id"));
    let texts = all.iter().zip(&events).filter(|(name, _)| *name == "delta");
    let text: String = texts.map(|(_, e)| e["text"].as_str().unwrap()).collect();
    assert_eq!(text, "answer to one");
    let done = events.last().unwrap();
    assert_eq!(done["result"]["response"], "answer to one");
    assert!(
        done["performance"]["tokens"]["output"].as_u64() > Some(0),
        "{done}"
    );
    assert_eq!(remembered(&gateway, "c").await.len(), 2);

    // What cannot be begun has its status; what fails on the way is an event.
    let unknown = ask(json!({ "message": "q", "stream": true, "model": "none" })).await;
    assert_eq!(unknown.status, 404);
    drop(world);
    let failed = ask(json!({ "message": "q", "stream": true })).await;
    assert_eq!(failed.status, 200);
    assert_eq!(
        names(&failed).last().map(String::as_str),
        Some("error"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_file_keeps_conversations_over_a_restart_at_the_last_moment() {
    let world = World::start().await;
    let mut gateway = Gateway::serve(&world.config("")).with_key(KEY);
    for round in 0..3 {
        say(&gateway, "c", &format!("message {round}")).await;
        gateway = gateway.restart().await;
        assert_eq!(remembered(&gateway, "c").await.len(), 2 * (round + 1));
    }
    say(&gateway, "c", "last").await;
    assert_eq!(world.shown().len(), 7);
}

#[tokio::test]
async fn a_long_conversation_is_summarized_and_nothing_is_lost() {
    let world = World::start().await;
    let config = world.config("[conversation]\nwindow = 12\n");
    let gateway = Gateway::serve(&config).with_key(KEY);
    for n in 1..=7 {
        say(&gateway, "c", &format!("message {n}")).await;
    }
    let start = std::time::Instant::now();
    let shown = loop {
        let shown = context(&gateway, "c").await.json();
        if !shown["summary"].is_null() {
            break shown;
        }
        assert!(start.elapsed() < PATIENCE, "it is not summarized");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(shown["summary"]["text"], "they count up");
    assert_eq!(
        (&shown["summary"]["upTo"], &shown["messageCount"]),
        (&json!(6), &json!(14))
    );
    say(&gateway, "c", "message 8").await;
    let told = world.shown();
    assert_eq!(told.len(), 10);
    assert!(told[0].ends_with("\"they count up\""), "{told:?}");
    assert_eq!((&*told[1], &*told[9]), ("message 4", "message 8"));
    // The summary is an attempt like any other, of the same key.
    assert_eq!(gateway.rows_after(9).await.len(), 9);
}

#[tokio::test]
async fn gateways_share_conversations_and_a_flush_of_redis_loses_nothing() {
    let world = World::start().await;
    let server = PostgresServer::start().unwrap();
    let redis = RedisServer::start().unwrap();
    let store = format!(
        "[store]\nurl = \"{}\"\nsecret = \"{SECRET}\"\nredis = \"{}\"\nredis_seconds = 5\n",
        server.database().unwrap(),
        redis.url()
    );
    let config = world.config(&store);
    let (mut one, two) = (
        Gateway::serve(&config).with_key(KEY),
        Gateway::serve(&config).with_key(KEY),
    );
    say(&one, "c", "one").await;
    // A turn is there for others a moment later.
    wait_for(&two, "c", 2).await;
    say(&two, "c", "two").await;
    assert_eq!(world.shown(), ["one", "answer to one", "two"]);
    wait_for(&one, "c", 4).await;
    assert_eq!(
        redis
            .command(&["EXISTS", "conv:messages:{acme/c}"])
            .unwrap(),
        "1"
    );
    let left: u64 = redis
        .command(&["TTL", "conv:summary:{acme/c}"])
        .unwrap()
        .parse()
        .unwrap();
    assert!((1800..=3600).contains(&left), "{left}");

    redis.flush().unwrap();
    say(&one, "c", "three").await;
    let all = ["one", "answer to one", "two", "answer to two", "three"];
    assert_eq!(world.shown(), all);
    assert_eq!(
        redis
            .command(&["EXISTS", "conv:messages:{acme/c}"])
            .unwrap(),
        "1"
    );
    assert!(
        one.stop().await.success(),
        "what waits is written at the end"
    );
    redis.flush().unwrap();
    let later = Gateway::serve(&config).with_key(KEY);
    assert_eq!(remembered(&later, "c").await.len(), 6);
    assert_eq!(context(&later.with_key(OTHER), "c").await.status, 404);
}

/// Waits for a conversation to have so many messages.
async fn wait_for(gateway: &Gateway, conversation: &str, count: u64) {
    let start = std::time::Instant::now();
    while context(gateway, conversation).await.json()["messageCount"] != count {
        assert!(start.elapsed() < PATIENCE, "no {count} messages");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_repeated_call_is_one_turn() {
    let world = World::start().await;
    let gateway = Gateway::serve(&world.config("")).with_key(KEY);
    for _ in 0..3 {
        let body = json!({ "message": "one", "conversationId": "c" });
        let request = gateway.post("/v1/chat", body.to_string());
        let answer =
            Answer::read(request.header("idempotency-key", "n").send().await.unwrap()).await;
        assert_eq!(answer.json()["result"]["response"], "answer to one");
    }
    assert_eq!(remembered(&gateway, "c").await.len(), 2);
    assert_eq!(world.asked.calls(), 1);
}

#[tokio::test]
async fn a_repeated_call_begins_one_conversation() {
    let world = World::start().await;
    let gateway = Gateway::serve(&world.config("")).with_key(KEY);
    let ask = async |name: &str, more: Value| {
        let mut body = json!({ "message": "one" });
        for (member, value) in more.as_object().unwrap() {
            body[member] = value.clone();
        }
        let request = gateway.post("/v1/chat", body.to_string());
        Answer::read(
            request
                .header("idempotency-key", name)
                .send()
                .await
                .unwrap(),
        )
        .await
    };
    let conversation = |answer: &Answer| answer.json()["context"]["conversationId"].clone();
    let first = conversation(&ask("n", json!({})).await);
    let again = conversation(&ask("n", json!({})).await);
    assert_eq!(first, again);
    assert_eq!(world.asked.calls(), 1);
    let id = again.as_str().unwrap();
    assert_eq!(remembered(&gateway, id).await, ["one", "answer to one"]);
    assert_ne!(conversation(&ask("o", json!({})).await), first);
    // Its own answer, not that of the first.
    for different in [
        json!({ "model": "m" }),
        json!({ "qualityLevel": "high" }),
        json!({ "conversationId": "c" }),
    ] {
        let answer = ask("n", different.clone()).await;
        assert_eq!(answer.status, 422, "{different}: {answer:?}");
    }
    let known = ask("n", json!({ "conversationId": id })).await;
    assert_eq!((known.status, conversation(&known)), (200, first));
}

#[tokio::test]
async fn r17_a_key_chooses_what_becomes_of_its_conversations_while_the_database_is_away() {
    let world = World::start().await;
    let mut server = PostgresServer::start().unwrap();
    let store = format!(
        "[store]\nurl = \"{}\"\nsecret = \"{SECRET}\"\n",
        server.database().unwrap()
    );
    const OPEN: &str = "Lp0-w2Vd-c9Rt-41Xm";
    let open = key("open", OPEN, "tenant = \"acme\"\non_store_down = \"open\"");
    let gateway = Gateway::serve(&format!("{}{open}", world.config(&store))).with_key(OPEN);
    let answer = say(&gateway, "c", "one").await;
    assert_eq!(answer.header("x-rungs-context"), "");
    assert_eq!(answer.json()["context"]["available"], true);
    wait_for(&gateway, "c", 2).await;

    server.stop().unwrap();
    let answer = say(&gateway, "c", "two").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-rungs-context"), "unavailable");
    assert_eq!(answer.json()["context"]["available"], false);
    // Or with the turn before, if the database has taken it and went before it said so.
    assert!(world.shown().ends_with(&["two".to_owned()]));
    let calls = world.asked.calls();
    let gateway = gateway.with_key(KEY);
    let answer = say(&gateway, "c", "three").await;
    assert_eq!((answer.status, world.asked.calls()), (503, calls));
    assert!(!answer.header("retry-after").is_empty());

    // What was said without the database is there when it comes back, though the process was killed meanwhile.
    let gateway = gateway.killed(&[]).with_key(OPEN);
    let answer = say(&gateway, "c", "four").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = ["two", "answer to two", "four"].map(str::to_owned);
    assert!(world.shown().ends_with(&told));
    server.restart().unwrap();
    wait_for(&gateway, "c", 6).await;
    let answer = say(&gateway, "c", "five").await;
    assert_eq!(answer.header("x-rungs-context"), "");
    let all = [
        "one",
        "answer to one",
        "two",
        "answer to two",
        "four",
        "answer to four",
        "five",
    ];
    assert_eq!(world.shown(), all);
}

#[tokio::test]
async fn a_summary_is_paid_by_a_user_whom_the_cache_has_answered() {
    let world = World::start().await;
    let config = |per_user: &str| {
        format!(
            "[conversation]\nwindow = 12\n[budget]\nper_user = \"{per_user}\"\n{}{}{}",
            key("ours", KEY, "tenant = \"acme\""),
            provider("p", &world.upstream.base_url()),
            model(
                "m",
                "p",
                "L0",
                "price = { input = \"1\", output = \"1\" }\nmax_output = 10"
            )
        )
    };
    let gateway = Gateway::serve(&config("100/day")).with_key(KEY);
    let talk = async |conversation| {
        for n in 1..=7 {
            let mut body = chat("m", &format!("message {n}"));
            body["user"] = json!("ann");
            let name = [(CONVERSATION, conversation)];
            let answer = gateway.ask_with(&body, &name).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    };
    talk("first").await;
    until("the summary", || world.asked.calls() == 8).await;
    // A day's budget of less than was spent, which the cache does not ask about.
    std::fs::write(gateway.folder.join("rungs.toml"), config("0.000001/day")).unwrap();
    gateway.signal("HUP");
    gateway.logs(": reloaded").await;
    talk("second").await;
    gateway.logs("was not summarized").await;
    assert_eq!(world.asked.calls(), 8, "nobody was asked again");
}

#[tokio::test]
async fn r30_idle_conversations_are_forgotten_from_a_reload_on() {
    let world = World::start().await;
    let config = world.config("");
    let gateway = Gateway::serve(&config).with_key(KEY);
    for conversation in ["old", "listed", "new"] {
        say(&gateway, conversation, "one").await;
        let list = gateway
            .request("PUT", &format!("/v1/todos/{conversation}"))
            .header("content-type", "application/json")
            .body(r#"{"todos":[{"id":1,"title":"read"}]}"#);
        assert_eq!(list.send().await.unwrap().status(), 200);
        wait_for(&gateway, conversation, 2).await;
    }
    let aged = "SET updated_ms = updated_ms - 91 * 86400000 WHERE";
    for sql in [
        format!("UPDATE conversations {aged} id IN ('old', 'listed')"),
        format!("UPDATE todo_lists {aged} conversation_id IN ('old', 'new')"),
    ] {
        change(&gateway, &sql).await;
    }
    let config = config.replacen('\n', "\n[conversation]\nforget_after = \"90d\"\n", 1);
    std::fs::write(gateway.folder.join("rungs.toml"), config).unwrap();
    gateway.signal("HUP");
    gateway.logs("idle conversations are forgotten").await;
    for (conversation, status) in [("old", 404), ("listed", 200), ("new", 200)] {
        for what in ["context", "todos"] {
            let path = format!("/v1/{what}/{conversation}");
            assert_eq!(gateway.get(&path).await.status, status, "{path}");
        }
    }
    say(&gateway, "old", "two").await;
    assert_eq!(world.shown(), ["two"], "it begins anew");
}
