//! Several processes on one database: whoever owns it serves the others, and one of them takes over when it ends.

use serde_json::{Value, json};

use super::talk::*;
use crate::support::*;

fn route(id: u32, question: &str) -> Value {
    message(
        id,
        "tools/call",
        call("route", json!({ "message": question })),
    )
}

#[tokio::test]
async fn a_gateway_serves_the_clients_of_others() {
    let models = models().await;
    let gateway = Gateway::serve(&config(&models.base_url(), &key("k", KEY, "")));
    let mut one = Mcp::start(&gateway.folder, &[]);
    let mut two = Mcp::start(&gateway.folder, &[("RUNGS_API_KEY", KEY)]);
    for (at, mcp) in [&mut one, &mut two].into_iter().enumerate() {
        mcp.ask(&initialize(0)).await;
        let answer = mcp
            .ask(&route(1, &format!("What is the capital of France, {at}?")))
            .await;
        assert_eq!(
            answer["result"]["structuredContent"]["model"], "small",
            "{answer}"
        );
    }
    assert_eq!(gateway.rows_after(2).await.len(), 2);
    let mut wrong = Mcp::start(&gateway.folder, &[("RUNGS_API_KEY", "sk-wrong")]);
    assert!(wrong.hear().await.is_none());
    assert!(!wrong.ended().await.success());
    use std::os::unix::fs::PermissionsExt;
    let socket = std::fs::metadata(gateway.folder.join("rungs.db.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn the_next_takes_over_when_the_owner_ends() {
    let models = models().await;
    let folder = folder();
    std::fs::write(folder.join("rungs.toml"), config(&models.base_url(), "")).unwrap();
    let mut windows = Vec::new();
    for at in 0..3 {
        let mut mcp = Mcp::start(&folder, &[]);
        mcp.ask(&initialize(at)).await;
        mcp.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        windows.push(mcp);
    }
    for left in (1..=3).rev() {
        for (at, mcp) in windows.iter_mut().enumerate() {
            let question = format!("What is the capital of France, {left} {at}?");
            let mut answer = mcp.ask(&route(10 * left, &question)).await;
            if answer.get("error").is_some() {
                // It was asked in the very moment of the change.
                answer = mcp.ask(&route(10 * left + 1, &question)).await;
            }
            assert_eq!(answer["result"]["isError"], false, "{answer}");
        }
        let mut first = windows.remove(0);
        if left == 2 {
            first.child.kill().await.unwrap();
        } else {
            first.close();
            assert!(first.ended().await.success());
        }
    }
    let (status, out, err) = run(&folder, &["ledger", "export"]);
    assert!(status.success(), "{err}");
    assert_eq!(out.lines().count(), 6, "{out}");
    let (status, out, err) = run(&folder, &["ledger", "verify"]);
    assert!(status.success(), "{out}{err}");
    std::fs::remove_dir_all(folder).unwrap();
}
