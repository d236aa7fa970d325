//! R14: what fails before the first content is answered by somebody else, what fails after it is not hidden.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::*;

const ROLE: &str =
    r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const WORD: &str = r#"{"choices":[{"index":0,"delta":{"content":"one two three four five six seven eight nine "},"finish_reason":null}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const ERROR: &str = r#"{"error":{"message":"overloaded","code":503}}"#;
const SPARE: &str = r#"{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"spare"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

/// How the first provider fails before it says anything.
fn failures() -> Vec<(&'static str, String)> {
    let http = |status: u16, kind: &str, body: &str| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    vec![
        ("status-500", http(500, "application/json", ERROR)),
        (
            "status-429",
            http(429, "application/json", r#"{"error":{"message":"later"}}"#),
        ),
        (
            "status-401",
            http(
                401,
                "application/json",
                r#"{"error":{"message":"bad key"}}"#,
            ),
        ),
        (
            "status-404",
            http(
                404,
                "application/json",
                r#"{"error":{"message":"no such model"}}"#,
            ),
        ),
        ("reset", String::new()),
        ("error-event", sse(&[ERROR])),
        ("error-event-after-role", sse(&[ROLE, ERROR])),
        ("end-after-role", sse(&[ROLE])),
        ("nothing", sse(&[])),
        ("garbage", sse(&["{oops"])),
    ]
}

fn spare(heard: &Heard) -> String {
    match heard.json()["stream"] == json!(true) {
        true => sse(&[
            r#"{"choices":[{"index":0,"delta":{"content":"spare"},"finish_reason":null}]}"#,
            STOP,
            "[DONE]",
        ]),
        false => format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{SPARE}",
            SPARE.len()
        ),
    }
}

fn config(wire: &Wire) -> String {
    let mains = failures()
        .into_iter()
        .map(|(name, _)| model(name, "p", "L0", "price = 0\nfallback = [\"spare\"]"));
    let mains: String = mains.collect();
    format!(
        "{NO_RETRY}{}{mains}{}",
        provider("p", &wire.base_url),
        free("spare", "p", "L0")
    )
}

async fn failing() -> Wire {
    Wire::answer(|heard| {
        let name = heard.model();
        failures()
            .into_iter()
            .find(|(failure, _)| *failure == name)
            .map_or_else(|| spare(heard), |(_, answer)| answer)
    })
    .await
}

#[tokio::test]
async fn r14_a_failure_before_the_first_content_is_invisible() {
    let wire = failing().await;
    let gateway = Gateway::serve(&config(&wire));
    for (name, answer) in failures() {
        let streamed = gateway.ask(&chat_stream(name, "q")).await;
        assert_eq!(streamed.status, 200, "{name}: {streamed:?}");
        assert_eq!(streamed.streamed(), "spare", "{name}");
        assert!(
            streamed.text.ends_with("data: [DONE]\n\n") && !streamed.text.contains("error"),
            "{name}: {streamed:?}"
        );
        assert_eq!(
            (
                streamed.header("x-rungs-model"),
                streamed.header("x-rungs-attempts")
            ),
            ("spare", "2"),
            "{name}"
        );
        if answer.contains("event-stream") || matches!(name, "status-429" | "status-401") {
            continue;
        }
        let whole = gateway.ask(&chat(name, "q")).await;
        assert_eq!(
            (whole.status, whole.content()),
            (200, "spare".to_owned()),
            "{name}: {whole:?}"
        );
        assert_eq!(
            (
                whole.header("x-rungs-model"),
                whole.header("x-rungs-attempts")
            ),
            ("spare", "2"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn r14_no_fallback_is_obeyed_and_gives_a_true_status() {
    let wire = failing().await;
    let gateway = Gateway::serve(&config(&wire));
    for (name, status) in [
        ("status-500", 500),
        ("status-404", 404),
        ("reset", 502),
        ("error-event", 503),
        ("end-after-role", 502),
    ] {
        let answer = gateway
            .ask_with(&chat_stream(name, "q"), &[("x-rungs-fallback", "off")])
            .await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        answer.error();
    }
    assert_eq!(wire.asked("spare"), 0);
    let wrong = gateway
        .ask_with(&chat("spare", "q"), &[("x-rungs-fallback", "perhaps")])
        .await;
    assert_eq!(
        (wrong.status, wrong.error()["param"].clone()),
        (400, json!("x-rungs-fallback"))
    );
}

#[tokio::test]
async fn r14_all_fail_and_the_status_is_true() {
    let wire = Wire::answer(|heard| match heard.model().as_str() {
        "spare" => "HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        _ => failures().swap_remove(0).1,
    })
    .await;
    let gateway = Gateway::serve(&config(&wire));
    for body in [chat("status-500", "q"), chat_stream("status-500", "q")] {
        let answer = gateway.ask(&body).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(
            (
                answer.error()["model"].clone(),
                answer.header("x-rungs-attempts")
            ),
            (json!("spare"), "2")
        );
    }
}

#[tokio::test]
async fn r14_after_the_first_content_a_failure_is_told_and_nobody_else_is_asked() {
    let wire = Wire::play(|heard, mut socket| async move {
        let (head, end) = match heard.model().as_str() {
            "error-event" => (sse(&[WORD]), format!("data: {ERROR}\n\n")),
            "reset" => (sse(&[WORD]), String::new()),
            "nothing" => (sse(&[WORD, STOP]), String::new()),
            _ => (spare(&heard), String::new()),
        };
        let _ = socket.write_all(head.as_bytes()).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let _ = socket.write_all(end.as_bytes()).await;
    })
    .await;
    // Whoever passes streams at once has nothing to go back to.
    let gateway = Gateway::serve(&format!(
        "routing = {{ on_stream = \"pass\" }}\n{}",
        config(&wire)
    ));
    let cases = [
        ("error-event", "service_unavailable", "service_unavailable"),
        ("reset", "stream_cut", "truncated"),
        ("nothing", "stream_cut", "truncated"),
    ];
    for (before, (name, code, status)) in cases.into_iter().enumerate() {
        let answer = gateway.ask(&chat_stream(name, "q")).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text.contains("data: [DONE]"), "{name}: {answer:?}");
        let events = answer.events();
        let last: serde_json::Value = serde_json::from_str(events.last().unwrap()).unwrap();
        assert_eq!(last["error"]["code"], code, "{name}: {answer:?}");
        assert_eq!(
            last["error"]["request_id"],
            answer.header("x-request-id"),
            "{name}"
        );
        assert_eq!(last["error"]["model"], name);
        // Not kept either: the same question is asked anew.
        gateway.ask(&chat_stream(name, "q")).await;
        assert_eq!(wire.asked(name), 2, "{name}");
        let rows = gateway.rows_after(2 * (before + 1)).await;
        assert_eq!(rows.last().unwrap().0, status, "{name}: {rows:?}");
    }
    assert_eq!(wire.asked("spare"), 0);
}
