//! R20: sessions of the older revisions belong to somebody, and nobody can fill the memory with them.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use rungs::testing::{Reply, Scripted, Upstream};
use serde_json::json;

use super::talk::*;
use crate::support::*;

const OTHER: &str = "zq4-Hn81-vw7x-Tk23";

async fn open(gateway: &Gateway) -> String {
    let answer = send(gateway, &initialize(0)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("mcp-session-id").to_owned()
}

async fn in_session(gateway: &Gateway, session: &str, key: &str) -> u16 {
    let request = gateway
        .request("POST", "/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-session-id", session)
        .bearer_auth(key)
        .body(message(1, "tools/list", json!({})).to_string());
    request.send().await.unwrap().status().as_u16()
}

async fn end(gateway: &Gateway, session: &str, key: &str) -> u16 {
    let request = gateway
        .request("DELETE", "/mcp")
        .header("mcp-session-id", session)
        .bearer_auth(key);
    request.send().await.unwrap().status().as_u16()
}

fn served(mcp: &str) -> Gateway {
    served_over("http://127.0.0.1:9/v1", mcp)
}

fn served_over(models: &str, mcp: &str) -> Gateway {
    let more = format!(
        "store = {{ url = \"memory:\" }}\n{mcp}\n{}{}{}",
        scraper(),
        key("k", KEY, ""),
        key("o", OTHER, "")
    );
    Gateway::serve(&config(models, &more))
}

#[tokio::test]
async fn r20_a_session_is_its_owners_alone() {
    let gateway = served("").with_key(KEY);
    let session = open(&gateway).await;
    // A client may send its own key with each request, and one only.
    let gateway = gateway.without_key();
    assert_eq!(in_session(&gateway, &session, KEY).await, 200);
    assert_eq!(in_session(&gateway, &session, OTHER).await, 404);
    end(&gateway, &session, OTHER).await;
    assert_eq!(in_session(&gateway, &session, KEY).await, 200);
    assert_eq!(end(&gateway, &session, KEY).await, 202);
    assert_eq!(in_session(&gateway, &session, KEY).await, 404);
}

#[tokio::test]
async fn r20_one_more_session_ends_the_one_idle_longest() {
    let gateway = served("mcp_server = { max_sessions = 2 }").with_key(KEY);
    let (one, two) = (open(&gateway).await, open(&gateway).await);
    let gateway = gateway.without_key();
    assert_eq!(in_session(&gateway, &one, KEY).await, 200);
    let gateway = gateway.with_key(OTHER);
    let foreign = open(&gateway).await;
    let gateway = gateway.with_key(KEY);
    let three = open(&gateway).await;
    let gateway = gateway.without_key();
    for (session, key, status) in [
        (&one, KEY, 200),
        (&two, KEY, 404),
        (&three, KEY, 200),
        (&foreign, OTHER, 200),
    ] {
        assert_eq!(in_session(&gateway, session, key).await, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_many_that_open_at_once_have_no_more_than_one_may() {
    let gateway = served("mcp_server = { max_sessions = 3 }").with_key(KEY);
    let opened = stream::iter(0..64).map(|_| open(&gateway));
    let opened: Vec<String> = opened.buffer_unordered(32).collect().await;
    assert_eq!(sessions(&gateway).await, 3.0);
    let gateway = gateway.without_key();
    let mut live = 0;
    for session in &opened {
        live += u32::from(in_session(&gateway, session, KEY).await == 200);
    }
    assert_eq!(live, 3);
}

/// Asks a model in a session, whose answer takes `SLOW`. What is asked at the same time is no other call.
async fn ask(gateway: &Gateway, session: &str) -> serde_json::Value {
    let asked = json!({ "messages": [{ "role": "user", "content": session }], "model": "small" });
    let request = post(gateway, &message(1, "tools/call", call("chat", asked)))
        .header("mcp-session-id", session);
    result(&Answer::read(request.send().await.unwrap()).await)
}

const SLOW: Duration = Duration::from_secs(3);

/// A gateway with these settings and a slow model, and a session there.
async fn slow(settings: &str) -> (Scripted, Upstream, Gateway, String) {
    let model = scripted("small", Reply::text("Paris.").after(SLOW));
    let upstream = Upstream::serve([model.clone()]).await.unwrap();
    let mcp = format!("mcp_server = {{ {settings} }}");
    let gateway = served_over(&upstream.base_url(), &mcp).with_key(KEY);
    let session = open(&gateway).await;
    (model, upstream, gateway, session)
}

#[tokio::test]
async fn r20_a_session_does_not_end_in_the_middle_of_a_call() {
    let (_model, _upstream, gateway, session) = slow("session_seconds = 1").await;
    let answer = ask(&gateway, &session).await;
    assert_eq!(answer["isError"], false, "{answer}");
    assert_eq!(sessions(&gateway).await, 1.0, "its time begins anew");
    while sessions(&gateway).await > 0.0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gateway = gateway.without_key();
    assert_eq!(in_session(&gateway, &session, KEY).await, 404);
}

#[tokio::test]
async fn r20_a_session_with_a_call_under_way_does_not_end_for_another_one() {
    let (model, _upstream, gateway, first) = slow("max_sessions = 1").await;
    let others = async {
        until("the call", || model.calls() == 1).await;
        (open(&gateway).await, open(&gateway).await)
    };
    let (answer, (second, third)) = tokio::join!(ask(&gateway, &first), others);
    assert_eq!(answer["isError"], false, "{answer}");
    // Once the call has ended there is one again, and the one that was used last.
    one_is_left(&gateway).await;
    let gateway = gateway.without_key();
    for (session, status) in [(&first, 200), (&second, 404), (&third, 404)] {
        assert_eq!(in_session(&gateway, session, KEY).await, status);
    }
}

#[tokio::test]
async fn r20_calls_under_way_keep_no_more_than_twice_as_many_sessions() {
    let (model, _upstream, gateway, first) = slow("max_sessions = 1").await;
    let other = async {
        until("the call", || model.calls() == 1).await;
        let second = open(&gateway).await;
        ask(&gateway, &second).await
    };
    let third = async {
        until("both calls", || model.calls() == 2).await;
        let refused = send(&gateway, &initialize(0)).await;
        (refused, sessions(&gateway).await)
    };
    let (one, two, (refused, own)) = tokio::join!(ask(&gateway, &first), other, third);
    assert!(refused.status >= 400, "{refused:?}");
    assert!(refused.text.contains("is under way in each"), "{refused:?}");
    assert_eq!(own, 2.0);
    for answer in [one, two] {
        assert_eq!(answer["isError"], false, "{answer}");
    }
    one_is_left(&gateway).await;
    open(&gateway).await;
}

/// Waits until there is one session, which takes a moment after a call.
async fn one_is_left(gateway: &Gateway) {
    let fewer = async {
        while sessions(gateway).await > 1.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let soon = tokio::time::timeout(Duration::from_secs(20), fewer).await;
    soon.expect("those that are too many are still there");
}

/// Resident memory of a process, in bytes.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

async fn sessions(gateway: &Gateway) -> f64 {
    let metrics = gateway.metrics().await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("rungs_mcp_sessions "));
    line.map_or(0.0, |line| {
        line.rsplit(' ').next().unwrap().parse().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_ten_thousand_abandoned_sessions_leave_nothing() {
    let gateway = served("mcp_server = { session_seconds = 2 }").with_key(KEY);
    let abandon = async |count: usize| {
        let opening = stream::iter(0..count).for_each_concurrent(32, |at| {
            let gateway = &gateway;
            async move {
                let request = post(gateway, &initialize(0));
                // Half of the clients do not even read the answer.
                let asking = tokio::time::timeout(
                    Duration::from_millis(if at % 2 == 0 { 2 } else { 5_000 }),
                    request.send(),
                );
                drop(asking.await);
            }
        });
        opening.await;
    };
    abandon(500).await;
    let baseline = memory(gateway.process());
    abandon(10_000).await;
    assert!(sessions(&gateway).await <= 32.0);
    for _ in 0..100 {
        if sessions(&gateway).await == 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(sessions(&gateway).await, 0.0);
    let grown = memory(gateway.process()).saturating_sub(baseline);
    assert!(grown < 24 << 20, "{} KiB more", grown >> 10);
}
