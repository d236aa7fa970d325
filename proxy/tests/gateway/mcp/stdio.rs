//! R40: standard output is JSON-RPC and nothing else, and the end of input is the end.

use std::time::{Duration, Instant};

use rungs::testing::{Reply, Upstream};
use serde_json::json;

use super::talk::*;
use crate::support::*;

#[tokio::test]
async fn r40_each_line_is_a_message_whatever_comes_in() {
    let folder = folder();
    let config = config("http://127.0.0.1:9/v1", "log = { level = \"trace\" }");
    std::fs::write(folder.join("rungs.toml"), config).unwrap();
    let mut mcp = Mcp::start(&folder, &[]);
    assert_eq!(
        mcp.ask(&initialize(0)).await["result"]["protocolVersion"],
        OLDER
    );
    for noise in [
        &b"not json\n"[..],
        b"\n\n",
        b"{\"jsonrpc\":\"2.0\"}\n",
        b"[]\n",
        b"\xff\xfe\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"no/such\"}\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\",\"params\":{}}\n",
    ] {
        mcp.write(noise).await;
    }
    let failing = call("route", json!({ "message": "hello" }));
    let answer = mcp.ask(&message(9, "tools/call", failing)).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    mcp.close();
    while mcp.hear().await.is_some() {}
    assert!(mcp.ended().await.success());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn r40_the_end_of_input_is_the_end_and_nothing_is_lost() {
    let slow = Reply::text("late").after(Duration::from_secs(60));
    let models =
        Upstream::serve(["small", "medium", "large"].map(|name| scripted(name, slow.clone())));
    let models = models.await.unwrap();
    let folder = folder();
    std::fs::write(folder.join("rungs.toml"), config(&models.base_url(), "")).unwrap();
    let mut mcp = Mcp::start(&folder, &[]);
    mcp.ask(&initialize(0)).await;
    let asked = call(
        "chat",
        json!({ "messages": [{ "role": "user", "content": "q" }], "model": "small" }),
    );
    mcp.say(&message(1, "tools/call", asked)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let closed = Instant::now();
    mcp.close();
    assert!(mcp.ended().await.success());
    assert!(
        closed.elapsed() < Duration::from_secs(4),
        "{:?}",
        closed.elapsed()
    );
    // What was under way is on the ledger: the client left.
    let (status, out, err) = run(&folder, &["ledger", "export"]);
    assert!(status.success(), "{err}");
    assert!(out.contains(r#""status":"cancelled""#), "{out}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_revision_without_sessions_needs_no_handshake() {
    let folder = folder();
    std::fs::write(
        folder.join("rungs.toml"),
        config("http://127.0.0.1:9/v1", ""),
    )
    .unwrap();
    let mut mcp = Mcp::start(&folder, &[]);
    let discovered = mcp.ask(&stateless(1, "server/discover", json!({}))).await;
    let versions = discovered["result"]["supportedVersions"]
        .as_array()
        .unwrap()
        .clone();
    for version in ["2025-03-26", "2025-06-18", OLDER, STATELESS] {
        assert!(versions.contains(&json!(version)), "{discovered}");
    }
    let listed = mcp.ask(&stateless(2, "tools/list", json!({}))).await;
    assert!(
        listed["result"]["tools"].as_array().unwrap().len() > 6,
        "{listed}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_key_is_looked_at_before_and_its_rights_hold() {
    let folder = folder();
    let more = format!(
        "{}{}",
        key("k", KEY, "models = [\"small\"]"),
        key("other", "zq4-Hn81-vw7x-Tk21", "routes = [\"chat\"]")
    );
    std::fs::write(
        folder.join("rungs.toml"),
        config("http://127.0.0.1:9/v1", &more),
    )
    .unwrap();
    for wrong in ["sk-wrong", "zq4-Hn81-vw7x-Tk21"] {
        let mut mcp = Mcp::start(&folder, &[("RUNGS_API_KEY", wrong)]);
        assert!(mcp.hear().await.is_none());
        assert!(!mcp.ended().await.success());
    }
    let mut mcp = Mcp::start(&folder, &[("RUNGS_API_KEY", KEY)]);
    mcp.ask(&initialize(0)).await;
    let asked = call("explain_route", json!({ "message": "q", "model": "large" }));
    let refused = mcp.ask(&message(1, "tools/call", asked)).await;
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("there is no model `large`"), "{refused}");
    std::fs::remove_dir_all(folder).unwrap();
}
