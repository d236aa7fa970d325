//! Clients hear when the tools that they may see have changed: by a session, by a subscription, over both transports.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use super::talk::*;
use crate::{
    support::*,
    upstreams::{mounting, server},
};

const OTHER: &str = "zq4-Hn81-vw7x-Tk23";
const CHANGED: &str = "notifications/tools/list_changed";

/// A configuration with a server whose tool an operator has to agree to, and what sets it so.
async fn world() -> (String, Arc<AtomicBool>, Wire) {
    let changed = Arc::default();
    let wire = server(&changed).await;
    let more = key("k", KEY, "") + &key("o", OTHER, "") + &mounting(&wire) + "keys = [\"k\"]\n";
    (config("http://127.0.0.1:9/v1", &more), changed, wire)
}

fn listening(id: u32) -> Value {
    let wanted =
        json!({ "notifications": { "toolsListChanged": true, "promptsListChanged": true } });
    stateless(id, "subscriptions/listen", wanted)
}

/// Whether a stream says this before long.
async fn hears(stream: &mut reqwest::Response, text: &str, within: Duration) -> bool {
    let mut heard = String::new();
    let hearing = async {
        while !heard.contains(text) {
            let chunk = stream.chunk().await.unwrap().expect("the stream has ended");
            heard += &String::from_utf8_lossy(&chunk);
        }
    };
    tokio::time::timeout(within, hearing).await.is_ok()
}

/// The stream on which a session of the older revisions is told things.
async fn session(gateway: &Gateway) -> reqwest::Response {
    let opened = send(gateway, &initialize(0)).await;
    assert_eq!(
        result(&opened)["capabilities"]["tools"]["listChanged"],
        true
    );
    let session = opened.header("mcp-session-id");
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let ready = post(gateway, &ready).header("mcp-session-id", session);
    assert_eq!(ready.send().await.unwrap().status(), 202);
    let stream = gateway
        .request("GET", "/mcp")
        .header("accept", "text/event-stream")
        .header("mcp-session-id", session);
    stream.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_told_over_http_to_those_who_see_the_tool() {
    let (config, changed, _wire) = world().await;
    let gateway = Gateway::serve(&config);
    gateway.logs("an MCP server is up").await;
    changed.store(true, Ordering::Relaxed);
    let gateway = gateway.restart().await.with_key(KEY);
    gateway.logs("it is not to be used until").await;

    let mut session = session(&gateway).await;
    let mut theirs = post(&gateway, &listening(1)).send().await.unwrap();
    let gateway = gateway.with_key(OTHER);
    let mut others = post(&gateway, &listening(2)).send().await.unwrap();
    for stream in [&mut theirs, &mut others] {
        assert!(hears(stream, "subscriptions/acknowledged", PATIENCE).await);
    }
    gateway.rungs(&["mcp", "approve", "s", "find"]);
    assert!(hears(&mut theirs, CHANGED, PATIENCE).await);
    assert!(hears(&mut session, CHANGED, PATIENCE).await);
    let moment = Duration::from_millis(300);
    assert!(!hears(&mut others, CHANGED, moment).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_told_over_stdio() {
    let (config, changed, _wire) = world().await;
    let folder = folder();
    std::fs::write(folder.join("rungs.toml"), config).unwrap();
    let rungs = |args: &[&str]| {
        let (status, out, error) = run(&folder, args);
        assert!(status.success(), "{args:?}: {out}{error}");
    };
    rungs(&["mcp", "list"]);
    changed.store(true, Ordering::Relaxed);

    let key = [("RUNGS_API_KEY", KEY)];
    let mut older = Mcp::start(&folder, &key);
    older.ask(&initialize(0)).await;
    older
        .say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
        .await;
    let mut newest = Mcp::start(&folder, &key);
    newest.say(&listening(1)).await;
    let first = newest.hear().await.unwrap();
    assert_eq!(
        first["params"]["notifications"],
        json!({ "toolsListChanged": true })
    );
    let list = message(2, "tools/list", json!({}));
    let lists = async |mcp: &mut Mcp| mcp.ask(&list).await.to_string().contains("s__find");
    assert!(!lists(&mut older).await, "it waits for approval");

    rungs(&["mcp", "approve", "s", "find"]);
    for mcp in [&mut older, &mut newest] {
        assert_eq!(mcp.hear().await.unwrap()["method"], CHANGED);
    }
    assert!(lists(&mut older).await);
    std::fs::remove_dir_all(folder).unwrap();
}
