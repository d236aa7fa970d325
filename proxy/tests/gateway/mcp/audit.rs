//! T34: what tools were called for that do more than read is written down before it is done, and nobody changes that unseen.

use serde_json::{Value, json};

use super::talk::*;
use crate::{ledger::change, support::*};

/// A gateway on which key `k` may write and run one program in a folder.
fn served() -> (Gateway, std::path::PathBuf) {
    let folder = folder();
    std::fs::write(folder.join("page.txt"), "words of others").unwrap();
    let program = "{ argv = [\"/bin/sh\", \"-c\", \"exit 0\"], reporter = \"exit\" }";
    let tools = format!(
        "tools = {{ roots = [{folder:?}], redis_set = true, allow = [\"exec\"], tests = {{ ok = {program} }} }}\n{}",
        key("k", KEY, "")
    );
    let gateway = Gateway::serve(&config("http://127.0.0.1:9/v1", &tools)).with_key(KEY);
    (gateway, folder)
}

fn exported(gateway: &Gateway) -> Vec<Value> {
    let text = gateway.rungs(&["audit", "export", "--since", "1d", "--format", "jsonl"]);
    let row = |line| serde_json::from_str(line).unwrap();
    text.lines().map(row).collect()
}

/// Tool and event of each row, and what is said of it beside.
fn told(rows: &[Value]) -> Vec<String> {
    let told = rows.iter().map(|row| {
        let part = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let words = [part("tool"), part("event"), part("why"), part("outcome")];
        words.join(" ").trim_end().replace("  ", " ")
    });
    told.collect()
}

fn set(value: &str) -> Value {
    json!({ "key": "k", "value": value })
}

#[tokio::test]
async fn t34_each_call_that_does_more_than_read_is_in_the_audit() {
    let (gateway, folder) = served();
    for (name, arguments) in [
        ("redis_set", set("canary-of-the-audit")),
        ("redis_set", json!({ "key": "k" })),
        ("redis_set", json!({ "key": "", "value": "v" })),
        ("redis_del", json!({ "key": "k" })),
        ("run_tests", json!({ "runner": "ok" })),
        // What only reads leaves nothing, nor does what there is not.
        ("fs_read", json!({ "path": "page.txt" })),
        ("fs_read", json!({ "path": "../page.txt" })),
        ("redis_set", set("asked for by the page")),
    ] {
        tool(&gateway, name, arguments).await;
    }
    let unknown = stateless(1, "tools/call", call("nothing", json!({})));
    send(&gateway, &unknown).await;
    let rows = exported(&gateway);
    assert_eq!(
        told(&rows),
        [
            "redis_set allowed",
            "redis_set ended ok",
            "redis_set refused arguments",
            "redis_set allowed",
            "redis_set ended invalid_request_error",
            "redis_del refused off",
            "run_tests allowed",
            "run_tests ended ok",
            "redis_set refused no_consent",
        ]
    );
    let of = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("seq"), (1..=9).collect::<Vec<_>>());
    assert_eq!(rows[1]["allowed"], 1);
    assert_eq!(rows[7]["allowed"], 7);
    assert_eq!(rows[7]["cost_nanos"], Value::Null);
    assert_eq!(
        (&rows[5]["effect"], &rows[6]["effect"]),
        (&json!("write"), &json!("exec"))
    );
    for row in &rows {
        assert_eq!(row["tenant"], "default", "{row}");
        assert_eq!(row["key"], "k", "{row}");
        assert_eq!(row["arguments"].as_str().unwrap().len(), 64, "{row}");
    }
    // The same arguments, and others.
    assert_eq!(rows[0]["arguments"], rows[1]["arguments"]);
    assert_ne!(rows[0]["arguments"], rows[8]["arguments"]);
    let text = json!(rows).to_string();
    assert!(!text.contains("canary-of-the-audit"), "{text}");
    gateway.logs("row=9").await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn t34_a_session_is_named() {
    let (gateway, folder) = served();
    let opened = send(&gateway, &initialize(0)).await;
    let session = opened.header("mcp-session-id");
    let called = message(1, "tools/call", call("redis_set", set("v")));
    let request = post(&gateway, &called).header("mcp-session-id", session);
    result(&Answer::read(request.send().await.unwrap()).await);
    // One that stands alone has none, whatever it says.
    let called = stateless(1, "tools/call", call("redis_set", set("v")));
    let request = post(&gateway, &called).header("mcp-session-id", "made up");
    result(&Answer::read(request.send().await.unwrap()).await);
    let rows = exported(&gateway);
    let sessions: Vec<_> = rows.iter().map(|row| &row["session"]).collect();
    assert_eq!(
        sessions,
        [&json!(session), &json!(session), &Value::Null, &Value::Null]
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn t34_the_verifier_names_what_was_changed() {
    let (gateway, folder) = served();
    for value in ["a", "b"] {
        tool(&gateway, "redis_set", set(value)).await;
    }
    let good = "0 rows, none altered, none missing\n4 audit rows, none altered, none missing\n";
    assert_eq!(gateway.rungs(&["ledger", "verify"]), good);
    for (sql, finding) in [
        (
            "UPDATE audit SET tool = 'fs_list' WHERE seq = 2",
            "audit row 2 was altered",
        ),
        ("DELETE FROM audit WHERE seq = 4", "audit row 4 is missing"),
        ("DELETE FROM audit WHERE seq = 1", "audit row 1 is missing"),
    ] {
        change(&gateway, sql).await;
        let (status, out, _) = run(&gateway.folder, &["ledger", "verify"]);
        assert!(!status.success() && out.contains(finding), "{sql}: {out}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn t34_what_cannot_be_written_down_is_not_done() {
    let (gateway, folder) = served();
    change(&gateway, "ALTER TABLE audit RENAME TO away").await;
    let refused = tool(&gateway, "redis_set", set("refused")).await;
    let why = refused["content"][0]["text"].as_str().unwrap();
    assert!(
        why.contains("cannot be written to the gateway's audit"),
        "{refused}"
    );
    gateway.logs("an audit row is missing").await;
    let off = tool(&gateway, "redis_del", json!({ "key": "k" })).await;
    assert_eq!(off["_meta"]["rungs/code"], "permission_denied", "{off}");
    // Reading goes on.
    let read = tool(&gateway, "remaining_budget", json!({})).await;
    assert_eq!(read["isError"], false, "{read}");

    change(&gateway, "ALTER TABLE away RENAME TO audit").await;
    let done = tool(
        &gateway,
        "redis_set",
        json!({ "key": "l", "value": "done" }),
    )
    .await;
    assert_eq!(done["isError"], false, "{done}");
    for (key, value) in [("k", Value::Null), ("l", json!("done"))] {
        let read = tool(&gateway, "redis_get", json!({ "key": key })).await;
        assert_eq!(read["structuredContent"]["value"], value, "{read}");
    }
    gateway.rungs(&["ledger", "verify"]);
    std::fs::remove_dir_all(folder).unwrap();
}
