//! R20: who may reach `/mcp`, and what it costs when they leave.

use std::time::Duration;

use serde_json::json;
use tokio::{io::AsyncReadExt, sync::mpsc};

use super::talk::*;
use crate::support::*;

const NOBODY: &str = "http://127.0.0.1:9/v1";

async fn list(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    let request = post(gateway, &stateless(1, "tools/list", json!({})));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn r20_foreign_hosts_and_pages_are_turned_away_with_keys_too() {
    let more = format!(
        "server = {{ cors_origins = [\"https://app.example.com\"] }}\nmcp_server = {{ hosts = [\"mcp.example.com\"] }}\n{}",
        key("k", KEY, "")
    );
    for config in [
        config(NOBODY, &more),
        config(
            NOBODY,
            &more.replacen("server = {", "server = { auth = \"none\",", 1),
        ),
    ] {
        let gateway = Gateway::serve(&config).with_key(KEY);
        let port = gateway.address().rsplit(':').next().unwrap();
        for host in [
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
            "mcp.example.com".into(),
            "MCP.example.com:8443".into(),
        ] {
            let answer = list(&gateway, &[("host", &host)]).await;
            assert_eq!(answer.status, 200, "{host} {answer:?}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "mcp.example.com.evil.example",
            "xmcp.example.com",
            "192.168.0.7",
            "0.0.0.0",
            "evil.example@localhost",
        ] {
            let answer = list(&gateway, &[("host", host)]).await;
            assert_eq!(answer.status, 403, "{host}");
            assert!(answer.text.contains("mcp_server.hosts"), "{answer:?}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "file://",
            "http://localhost:1",
            "http://127.0.0.1.evil.example",
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "https://app.example.com:444",
            "http://[::1]",
        ] {
            let answer = list(&gateway, &[("origin", origin)]).await;
            assert_eq!(answer.status, 403, "{origin}");
        }
        for origin in [&*gateway.url, "https://app.example.com"] {
            let answer = list(&gateway, &[("origin", origin)]).await;
            assert_eq!(answer.status, 200, "{origin} {answer:?}");
        }
    }
}

#[tokio::test]
async fn r20_an_open_loopback_wants_the_token_in_our_file() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::serve(&config(NOBODY, ""));
    assert_eq!(gateway.get("/v1/models").await.status, 200);
    let path = gateway.folder.join("rungs.db.mcp-token");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let token = std::fs::read_to_string(&path).unwrap();
    let token = token.trim();
    for (header, value, status) in [
        ("x-nothing", "", 401),
        ("authorization", "Bearer dummy", 401),
        (
            "authorization",
            &*format!("Bearer {}", &token[..token.len() - 1]),
            401,
        ),
        ("x-api-key", "dummy", 401),
        ("authorization", &*format!("Bearer {token}"), 200),
    ] {
        let answer = list(&gateway, &[(header, value)]).await;
        assert_eq!(answer.status, status, "{header} {value}: {answer:?}");
        if status == 401 {
            answer.error();
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        // So does the code agent, which reaches tools too; what it is asked for here is nothing.
        let job = gateway.post("/v1/code-agent", "{}").header(header, value);
        let refused = Answer::read(job.send().await.unwrap()).await;
        assert_eq!(refused.status == 401, status == 401, "{refused:?}");
    }
    gateway.logs("rungs.db.mcp-token").await;
    assert!(!gateway.log().contains(token), "the token is in the log");
    // It opens what is open anyway, and nothing more.
    let keys = gateway.request("GET", "/admin/v1/keys").bearer_auth(token);
    assert_eq!(keys.send().await.unwrap().status(), 401);
    // The next start finds the same one.
    let token = token.to_owned();
    let gateway = gateway.restart().await.with_key(&token);
    assert_eq!(list(&gateway, &[]).await.status, 200);
    // Where keys are asked for, it is none.
    let config = std::fs::read_to_string(gateway.folder.join("rungs.toml")).unwrap();
    std::fs::write(
        gateway.folder.join("rungs.toml"),
        format!("{config}{}", key("k", KEY, "")),
    )
    .unwrap();
    let gateway = gateway.restart().await;
    assert_eq!(list(&gateway, &[]).await.status, 401);
}

#[tokio::test]
async fn keys_are_held_to_their_routes_and_budgets() {
    let spent = "zq4-Hn81-vw7x-Tk22";
    let more = format!(
        "{}{}",
        key("k", KEY, "routes = [\"chat\"]"),
        key("poor", spent, "budget = [\"0/day\"]")
    );
    let paid = model(
        "paid",
        "p",
        "L0",
        "price = { input = 1, output = 1 }\nmax_output = 100",
    );
    let gateway = Gateway::serve(&format!("{}{paid}", config(NOBODY, &more))).with_key(KEY);
    assert_eq!(list(&gateway, &[]).await.status, 403);
    let gateway = gateway.with_key(spent);
    let asked = json!({ "messages": [{ "role": "user", "content": "q" }], "model": "paid" });
    let refused = tool(&gateway, "chat", asked).await;
    assert_eq!(refused["isError"], true, "{refused}");
    assert_eq!(
        refused["_meta"]["rungs/code"], "insufficient_quota",
        "{refused}"
    );
    let budgets = tool(&gateway, "remaining_budget", json!({})).await;
    let budgets = &budgets["structuredContent"]["budgets"];
    assert_eq!(budgets.as_array().unwrap().len(), 1, "{budgets}");
    assert_eq!(budgets[0]["account"], "key:poor", "{budgets}");
}

#[tokio::test]
async fn closing_the_stream_cancels_the_work_and_the_provider() {
    let (closed, mut closings) = mpsc::channel(4);
    let wire = Wire::play(move |_, mut socket| {
        let closed = closed.clone();
        async move {
            let mut rest = [0; 64];
            while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            let _ = closed.send(()).await;
        }
    })
    .await;
    let gateway = Gateway::serve(&config(&wire.base_url, &key("k", KEY, ""))).with_key(KEY);
    let asked = json!({ "messages": [{ "role": "user", "content": "q" }], "model": "small" });
    let mut message = stateless(1, "tools/call", call("chat", asked));
    for progress in [false, true] {
        if progress {
            message["params"]["_meta"]["progressToken"] = json!("p");
        }
        let before = wire.heard().len();
        let asking = tokio::spawn(post(&gateway, &message).send());
        until("the request at the provider", || {
            wire.heard().len() > before
        })
        .await;
        if progress {
            // The stream has begun, with what is known of the progress.
            let mut response = asking.await.unwrap().unwrap();
            let first = response.chunk().await.unwrap().unwrap();
            let first = String::from_utf8_lossy(&first).into_owned();
            assert!(first.contains("notifications/progress"), "{first}");
            drop(response);
        } else {
            asking.abort();
        }
        let closing = tokio::time::timeout(Duration::from_secs(5), closings.recv()).await;
        assert!(
            closing.is_ok(),
            "the provider's connection stays open ({progress})"
        );
    }
    let rows = gateway.rows_after(2).await;
    assert!(
        rows.iter().all(|(status, _)| status == "cancelled"),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_open_streams() {
    let mut gateway = Gateway::serve(&config(NOBODY, &key("k", KEY, ""))).with_key(KEY);
    let opened = post(&gateway, &initialize(0)).send().await.unwrap();
    let session = opened.headers()["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let stream = gateway
        .request("GET", "/mcp")
        .header("accept", "text/event-stream")
        .header("mcp-session-id", session);
    let _stream = stream.send().await.unwrap();
    let began = std::time::Instant::now();
    assert!(gateway.stop().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}
