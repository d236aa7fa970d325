//! R21: tools read unless the configuration says more, and what is told of them is stable.

use rungs::testing::{Reply, Scripted, Upstream};
use serde_json::{Value, json};

use super::talk::*;
use crate::support::*;

const NOBODY: &str = "http://127.0.0.1:9/v1";

async fn listed(gateway: &Gateway) -> Vec<Value> {
    let answer = send(gateway, &stateless(1, "tools/list", json!({}))).await;
    result(&answer)["tools"].as_array().unwrap().clone()
}

#[tokio::test]
async fn r21_what_is_more_than_reading_is_off_and_says_how_to_turn_it_on() {
    let gateway = Gateway::serve(&config(NOBODY, &key("k", KEY, ""))).with_key(KEY);
    for tool in listed(&gateway).await {
        let name = tool["name"].as_str().unwrap();
        let refused = super::talk::tool(&gateway, name, json!({ "no such argument": 1 })).await;
        let code = &refused["_meta"]["rungs/code"];
        let text = refused["content"][0]["text"].as_str().unwrap();
        if tool["annotations"]["readOnlyHint"] == true {
            assert_eq!(code, "invalid_request_error", "{name}: {text}");
        } else {
            assert_eq!(code, "permission_denied", "{name}: {text}");
            assert!(
                text.contains(&format!("`{name} = true` in [tools]")),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn r21_a_tool_that_is_off_says_so() {
    let more = format!("tools = {{ chat = false }}\n{}", key("k", KEY, ""));
    let gateway = Gateway::serve(&config(NOBODY, &more)).with_key(KEY);
    let names = listed(&gateway).await;
    assert!(
        names.iter().any(|tool| tool["name"] == "chat"),
        "it is listed all the same"
    );
    let refused = tool(&gateway, "chat", json!({ "messages": [] })).await;
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("`chat = false` in [tools]"), "{text}");
}

#[tokio::test]
async fn r21_the_hash_of_the_list_is_logged_and_stable() {
    async fn hash(gateway: &Gateway) -> String {
        gateway.logs("MCP tools").await;
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains("MCP tools")).unwrap();
        let hash = line.split("hash=").nth(1).unwrap();
        hash[..16].to_owned()
    }
    let gateway = Gateway::serve(&config(NOBODY, &key("k", KEY, "")));
    let first = hash(&gateway).await;
    assert!(first.chars().all(|c| c.is_ascii_hexdigit()), "{first}");
    let gateway = gateway.restart().await;
    assert_eq!(hash(&gateway).await, first);
}

#[tokio::test]
async fn wrong_arguments_are_named_and_cost_nothing() {
    let gateway = Gateway::serve(&config(NOBODY, &key("k", KEY, ""))).with_key(KEY);
    for (name, arguments, what) in [
        ("chat", json!({}), "`chat` needs `messages`"),
        ("chat", json!({ "messages": [] }), "`messages` is empty"),
        (
            "chat",
            json!({ "messages": [{ "role": "wizard", "content": "" }] }),
            "`messages[0].role`",
        ),
        ("chat", json!({ "mesages": [] }), "did you mean `messages`?"),
        ("route", json!({ "message": " " }), "`message` is empty"),
        ("route", json!({ "message": 1 }), "`message` does not fit"),
        (
            "escalate",
            json!({ "task": "t", "attempts": [] }),
            "nothing to climb from",
        ),
        (
            "escalate",
            json!({ "task": "t", "attempts": [{ "tier": "L2" }] }),
            "there is no model above L2",
        ),
        (
            "escalate",
            json!({ "task": "t", "attempts": [{ "tier": "7" }] }),
            "`attempts[0].tier`",
        ),
        (
            "second_opinion",
            json!({ "question": "q", "answer": "a", "reviewers": 9 }),
            "1 to 3",
        ),
        (
            "explain_route",
            json!({ "message": "q", "model": "smal" }),
            "did you mean `small`?",
        ),
    ] {
        let refused = tool(&gateway, name, arguments).await;
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(what), "{name}: {text}");
        assert_eq!(refused["isError"], true);
    }
    let unknown = send(
        &gateway,
        &stateless(1, "tools/call", call("nothing", json!({}))),
    )
    .await;
    assert_eq!(unknown.json()["error"]["code"], -32602, "{unknown:?}");
    assert_eq!(gateway.rows().await, []);
}

#[tokio::test]
async fn t23_what_is_more_than_reading_leaves_a_line_without_its_words() {
    let more = format!(
        "tools = {{ redis_set = true }}\nlog = {{ level = \"error\" }}\n{}",
        key("k", KEY, "")
    );
    let gateway = Gateway::serve(&config(NOBODY, &more)).with_key(KEY);
    let set = |value: &str| json!({ "key": "k", "value": value });
    for (name, arguments, outcome) in [
        ("redis_set", set("canary-of-the-audit"), "ok"),
        ("redis_set", json!({ "key": "k" }), "invalid_request_error"),
        ("redis_del", json!({ "key": "k" }), "permission_denied"),
        ("redis_get", json!({ "key": "k" }), "nothing"),
    ] {
        tool(&gateway, name, arguments).await;
        if outcome != "nothing" {
            gateway.logs(&format!("outcome=\"{outcome}\"")).await;
        }
    }
    let log = gateway.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("rungs::audit"))
        .collect();
    assert_eq!(lines.len(), 3, "{log}");
    for line in &lines {
        assert!(
            line.contains("tenant=\"default\"") && line.contains("key=\""),
            "{line}"
        );
        let (_, digest) = line.split_once("arguments=\"").unwrap();
        assert!(
            digest[..32].bytes().all(|b| b.is_ascii_hexdigit()),
            "{line}"
        );
    }
    assert!(!log.contains("canary-of-the-audit"), "{log}");
}

#[tokio::test]
async fn a_task_that_is_escalated_goes_up_one_tier() {
    let models = models().await;
    let gateway = Gateway::serve(&config(&models.base_url(), &key("k", KEY, ""))).with_key(KEY);
    let hard = "prove step by step and compare: design a plan to optimise this";
    let tried = json!([{ "tier": "L0", "text": "no", "issues": ["it is wrong"] }]);
    let arguments = json!({ "task": hard, "attempts": tried, "quality": "critical" });
    let answer = tool(&gateway, "escalate", arguments).await;
    assert_eq!(answer["structuredContent"]["tier"], "L1", "{answer}");
}

/// Where every answer is checked, a review is not.
#[tokio::test]
async fn r34_second_opinions_are_not_checked_themselves() {
    let agrees = r#"{"agree": true, "confidence": 90, "issues": []}"#;
    let all = ["small", "medium", "large"].map(|name| scripted(name, Reply::text(agrees)));
    let upstream = Upstream::serve(all.clone()).await.unwrap();
    let more = format!(
        "routing = {{ cross_check = \"always\" }}\n{}",
        key("k", KEY, "")
    );
    let gateway = Gateway::serve(&config(&upstream.base_url(), &more)).with_key(KEY);
    let arguments = json!({ "question": "6 x 7?", "answer": "42" });
    let answer = tool(&gateway, "second_opinion", arguments).await;
    assert_eq!(answer["structuredContent"]["verdict"], "agree", "{answer}");
    assert_eq!(all.iter().map(Scripted::calls).sum::<usize>(), 1);
}

#[tokio::test]
async fn r34_an_arbiter_that_refuses_has_no_better_answer() {
    let objects = Reply::text(r#"{"agree": false, "confidence": 80, "issues": ["it is 42"]}"#);
    let refuses = || Reply::text("I'm sorry, but I can't help with that.");
    let all = [
        ("small", objects),
        ("medium", refuses()),
        ("large", refuses()),
    ];
    let all = all.map(|(name, reply)| scripted(name, reply));
    let upstream = Upstream::serve(all).await.unwrap();
    let gateway = Gateway::serve(&config(&upstream.base_url(), &key("k", KEY, ""))).with_key(KEY);
    let arguments = json!({ "question": "6 x 7?", "answer": "41" });
    let answer = tool(&gateway, "second_opinion", arguments).await;
    let told = &answer["structuredContent"];
    assert_eq!(
        (&told["verdict"], &told["issues"]),
        (&json!("differ"), &json!(["it is 42"]))
    );
    assert_eq!(told["better_answer"], json!(null), "{answer}");
    let note = told["notes"][0].as_str().unwrap();
    assert!(
        note.ends_with("the arbiter's answer will not do: the answer is a refusal"),
        "{note}"
    );
}

#[tokio::test]
async fn what_a_query_keeps_goes_into_files_where_its_thread_may_write_them() {
    let folder = folder();
    let tools = format!("tools = {{ data = {folder:?} }}\n{}", key("k", KEY, ""));
    let gateway = Gateway::serve(&config(NOBODY, &tools)).with_key(KEY);
    let query = async |rows: u32, sql: &str| {
        let row = |x: &str| format!("SELECT printf('%01000d', {x})");
        let (first, next) = (row("1"), row("x + 1"));
        let sql =
            format!("WITH RECURSIVE n(x) AS ({first} UNION ALL {next} FROM n LIMIT {rows}) {sql}");
        let found = tool(&gateway, "db_query", json!({ "sql": sql })).await;
        found["structuredContent"]["rows"][0]["n"].as_u64()
    };
    let kept = [
        "SELECT count(DISTINCT x) AS n FROM n",
        "SELECT count(*) AS n FROM (SELECT x FROM n GROUP BY x)",
    ];
    for sql in kept {
        assert_eq!(query(20_000, sql).await, Some(20_000), "{sql}");
    }
    std::fs::remove_dir(folder.join("temp")).expect("nothing is left in it");
    for sql in kept {
        assert_eq!(query(100, sql).await, Some(100), "{sql}");
        assert_eq!(query(20_000, sql).await, None, "{sql}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
