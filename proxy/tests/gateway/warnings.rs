//! A budget that is nearly spent: somebody is told, once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, sync::Semaphore};

use crate::support::*;

const HOOK: &str = "Hq7-w2Vd-c9Rt-41Xm";
const SMALL: &str = "Sm4-w2Vd-c9Rt-41Xm";

/// Each call costs 130,000 nano-dollars.
fn provider_wire() -> impl Future<Output = Wire> {
    Wire::answer(|_| {
        let body = json!({
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "yes" }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 126, "completion_tokens": 2 },
        })
        .to_string();
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    })
}

fn answer(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn config(wire: &Wire, hook: &Wire, more: &str) -> String {
    format!(
        "[budget]\nwebhook = \"{}/hook-path\"\nwebhook_secret = \"{HOOK}\"\nwebhook_allow_private = true\n{more}\n[cache]\nenabled = false\n{}{}",
        hook.base_url,
        provider("p", &wire.base_url),
        model(
            "m",
            "p",
            "L0",
            "price = { input = \"1\", output = \"2\" }\nmax_output = 10"
        ),
    )
}

/// What the hook was told, by account.
fn told(hook: &Wire) -> Vec<(String, Value)> {
    let heard = hook.heard();
    let mut told: Vec<_> = heard
        .iter()
        .map(|heard| {
            let body = heard.json();
            (body["account"].as_str().unwrap().to_owned(), body)
        })
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    told
}

#[tokio::test]
async fn each_account_is_told_of_once_and_not_again_after_a_restart() {
    let (wire, hook) = (
        provider_wire().await,
        Wire::answer(|_| answer("204 No Content")).await,
    );
    let more = "global = \"0.01/day\"\nper_user = \"0.01/day\"\nwarn_at = 3\n\
                [[project]]\nname = \"web\"\nbudget = \"0.01/week\"\nwarn_at = 2\n";
    let keys = key(
        "laptop",
        KEY,
        "project = \"web\"\nbudget = [\"0.01/day\", \"1/total\"]\nwarn_at = 1",
    );
    // One call is more than three percent of it, and its mark is that of all.
    let keys = keys + &key("small", SMALL, "budget = \"0.004/day\"") + &scraper();
    let mut gateway = Gateway::serve(&format!("{}{keys}", config(&wire, &hook, more)));
    let made = gateway.rungs(&[
        "keys",
        "create",
        "--name",
        "k",
        "--budget",
        "0.01/month",
        "--warn-at",
        "1",
        "--json",
    ]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let ask = |user: &str| {
        let mut body = chat("m", "q");
        body["user"] = json!(user);
        body
    };
    gateway = gateway.with_key(KEY);
    for _ in 0..3 {
        assert_eq!(gateway.ask(&ask("ann")).await.status, 200);
    }
    gateway = gateway.with_key(SMALL);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
    gateway = gateway.with_key(KEY);
    // Each user's own; what all have spent together is known already.
    assert_eq!(gateway.ask(&ask("bob")).await.status, 200);
    gateway = gateway.with_key(made["key"].as_str().unwrap());
    assert_eq!(gateway.ask(&ask("bob")).await.status, 200);
    let id = format!("key:{}", made["id"].as_str().unwrap());
    let accounts = [
        "global",
        &id,
        "key:laptop",
        "key:small",
        "project:web",
        "user:default/ann",
    ];
    until("six messages", || hook.heard().len() >= accounts.len()).await;
    let mut expected = accounts.map(str::to_owned).to_vec();
    expected.sort();
    let all = told(&hook);
    assert_eq!(
        all.iter().map(|(a, _)| a.clone()).collect::<Vec<_>>(),
        expected
    );
    let of = |account: &str| &all.iter().find(|(a, _)| a == account).unwrap().1;
    assert_eq!(
        of("key:laptop"),
        &json!({
            "event": "budget.warning", "account": "key:laptop", "budget": "0.01/day", "posted": "0.00013",
            "limit": "0.01", "percent": 1, "warn_at": 1, "window_end": of("key:laptop")["window_end"],
        })
    );
    assert!(
        of("key:laptop")["window_end"]
            .as_str()
            .unwrap()
            .ends_with("T00:00:00Z")
    );
    assert_eq!(
        (&of("global")["posted"], &of("global")["warn_at"]),
        (&json!("0.00039"), &json!(3))
    );
    let head = &hook.heard()[0].head;
    assert!(
        head.contains(&format!("authorization: bearer {}", HOOK.to_lowercase())),
        "{head}"
    );
    assert!(head.starts_with("post /v1/hook-path"), "{head}");
    gateway.logs("a budget is nearly spent").await;
    assert_eq!(gateway.counted("rungs_budget_warnings_total").await, 6.0);
    let log = gateway.log();
    assert!(!log.contains(HOOK) && !log.contains("hook-path"), "{log}");

    // A start finds budgets past their marks, and that they were told of.
    let gateway = gateway.restart().await.with_key(KEY);
    assert_eq!(gateway.ask(&ask("ann")).await.status, 200);
    assert_eq!(gateway.counted("rungs_budget_warnings_total").await, 0.0);
    assert_eq!(hook.heard().len(), 6);
}

#[tokio::test]
async fn a_hook_that_fails_is_asked_again_and_nobody_waits_for_it() {
    let wire = provider_wire().await;
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let hook = Wire::answer(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        answer(if first { "503 Busy" } else { "200 OK" })
    })
    .await;
    let more = "global = \"0.01/day\"\nwarn_at = 1\n";
    let mut gateway = Gateway::serve(&config(&wire, &hook, more));
    let question = chat("m", "q");
    let answer = tokio::time::timeout(Duration::from_millis(900), gateway.ask(&question));
    assert_eq!(answer.await.expect("nobody waits").status, 200);
    until("the second try", || tries.load(Ordering::SeqCst) == 2).await;
    let bodies: Vec<_> = hook.heard().iter().map(Heard::json).collect();
    assert_eq!(bodies[0], bodies[1]);
    assert!(gateway.stop().await.success());

    // One that is not there does not keep the process either.
    let gone = Wire::answer(|_| String::new()).await;
    let config = config(&wire, &gone, more);
    drop(gone);
    let mut gateway = Gateway::serve(&config);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
    let start = std::time::Instant::now();
    assert!(gateway.stop().await.success());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_call_that_costs_more_than_the_alert_is_told_of_once() {
    let wire = provider_wire().await;
    let hook = Wire::answer(|_| answer("204 No Content")).await;
    // A call costs 130,000 nano-dollars: not more than the first threshold, and more than the second.
    let alert = |threshold: &str| {
        let keys = key("laptop", KEY, "") + &scraper();
        format!(
            "{}{keys}",
            config(&wire, &hook, &format!("alert = \"{threshold}\"\n"))
        )
    };
    let mut gateway = Gateway::serve(&alert("0.00013")).with_key(KEY);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
    assert_eq!(gateway.counted("rungs_cost_alerts_total").await, 0.0);
    assert!(!gateway.log().contains("alert threshold"));

    gateway.stop().await;
    std::fs::write(gateway.folder.join("rungs.toml"), alert("0.000129")).unwrap();
    let gateway = gateway.killed(&[]).with_key(KEY);
    let mut question = chat("m", "q");
    question["user"] = json!("ann");
    let whole = gateway.ask(&question).await;
    let streamed = gateway.ask(&chat_stream("m", "q")).await;
    assert_eq!((whole.status, streamed.status), (200, 200));
    until("two messages", || hook.heard().len() >= 2).await;
    assert_eq!(
        hook.heard()[0].json(),
        json!({
            "event": "cost.alert", "request_id": whole.header("x-request-id"), "op": "chat", "key": "laptop", "user": "ann",
            "deployment": "p/m", "tier": "L0", "attempts": 1, "cost": "0.00013", "alert": "0.000129",
        })
    );
    assert_eq!(gateway.counted("rungs_cost_alerts_total").await, 2.0);
    let lines = || gateway.log().matches("more than the alert").count();
    until("two lines", || lines() >= 2).await;
    assert_eq!((lines(), hook.heard().len()), (2, 2), "none for the first");
}

#[tokio::test]
async fn a_warning_goes_before_all_alerts_that_wait() {
    let wire = provider_wire().await;
    let open = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&open);
    let hook = Wire::play(move |_, mut socket| {
        let gate = Arc::clone(&gate);
        async move {
            let _open = gate.acquire().await;
            let _ = socket.write_all(answer("204 No Content").as_bytes()).await;
        }
    })
    .await;
    // The 77th call brings the budget past its mark. By then more alerts than there is room for have been told of.
    let more = "alert = \"0.0001\"\nglobal = \"1/day\"\nwarn_at = 1\n";
    let gateway = Gateway::serve(&config(&wire, &hook, more));
    for _ in 0..80 {
        assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
    }
    gateway.logs("a budget is nearly spent").await;
    open.add_permits(1);
    until("two messages", || hook.heard().len() >= 2).await;
    // One alert was under way.
    assert_eq!(hook.heard()[1].json()["event"], "budget.warning");
    let log = gateway.log();
    assert!(log.contains("a message to it is dropped"), "{log}");
}
