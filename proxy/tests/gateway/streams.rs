//! R19 and R26: usage, pings and time limits of streams.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::*;

const WORD: &str = r#"{"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str =
    r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;

#[tokio::test]
async fn r19_usage_is_always_metered_and_passed_on_to_those_who_asked() {
    let wire = Wire::answer(|_| sse(&[WORD, STOP, USAGE, "[DONE]"])).await;
    let price = "price = { input = \"1\", output = \"2\" }";
    let gateway = Gateway::serve(&format!(
        "{}{}",
        provider("p", &wire.base_url),
        model("m", "p", "L0", price)
    ));
    let questions = [
        (json!(null), 0),
        (json!({"include_usage": false}), 0),
        (json!({"include_usage": true}), 1),
    ];
    for (number, (options, chunks)) in questions.into_iter().enumerate() {
        let mut body = chat_stream("m", &format!("q{number}"));
        if !options.is_null() {
            body["stream_options"] = options;
        }
        // The second time from the cache: what was asked for does not change.
        for cache in ["miss", "hit"] {
            let answer = gateway.ask(&body).await;
            assert_eq!(answer.header("x-rungs-cache"), cache, "{answer:?}");
            let with_usage: Vec<usize> = (0..answer.events().len())
                .filter(|at| answer.events()[*at].contains("prompt_tokens"))
                .collect();
            assert_eq!(with_usage.len(), chunks, "{answer:?}");
            // Last before the end.
            assert!(
                with_usage.iter().all(|at| at + 2 == answer.events().len()),
                "{answer:?}"
            );
            let cost = if cache == "hit" { "0" } else { "0.000013" };
            assert_eq!(
                answer.last_words()["cost_usd"].as_str(),
                Some(cost),
                "{answer:?}"
            );
        }
    }
    // Calls of one millisecond come in any order.
    let mut rows = gateway.rows_after(6).await;
    rows.sort();
    let expected = [("cache_hit", 0); 3].iter().chain(&[("ok", 13_000); 3]);
    let expected: Vec<_> = expected.map(|(s, c)| ((*s).to_owned(), *c)).collect();
    assert_eq!(rows, expected);
    for heard in wire.heard() {
        assert_eq!(
            heard.json()["stream_options"]["include_usage"],
            true,
            "{heard:?}"
        );
    }
}

/// Comments every 50 ms for `silence`, then a complete answer.
async fn slow(silence: Duration) -> Wire {
    Wire::play(move |_, mut socket| async move {
        let _ = socket.write_all(sse(&[]).as_bytes()).await;
        let start = Instant::now();
        while start.elapsed() < silence && socket.write_all(b": still here\n\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let _ = socket
            .write_all(format!("data: {WORD}\n\ndata: {STOP}\n\ndata: [DONE]\n\n").as_bytes())
            .await;
    })
    .await
}

#[tokio::test]
async fn r26_pings_flow_while_nothing_else_does() {
    let wire = slow(Duration::from_millis(1000)).await;
    let config = format!(
        "server = {{ ping_seconds = 0.2 }}\n{}{}",
        provider("p", &wire.base_url),
        free("m", "p", "L0")
    );
    let gateway = Gateway::serve(&config);
    let start = Instant::now();
    let mut response = gateway
        .post("/v1/chat/completions", chat_stream("m", "q").to_string())
        .send()
        .await
        .unwrap();
    // The head does not wait for the answer.
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("x-request-id"));
    let first = response.chunk().await.unwrap().unwrap();
    assert_eq!(&first[..], b": ping\n\n");
    let answer = Answer::read(response).await;
    assert!(answer.text.matches(": ping\n\n").count() >= 2, "{answer:?}");
    assert_eq!(answer.streamed(), "word");
    assert!(
        !answer.text.contains("still here"),
        "the provider's own comments are its own: {answer:?}"
    );
    // Pings are not part of what is kept.
    let again = gateway.ask(&chat_stream("m", "q")).await;
    assert_eq!(
        (
            again.header("x-rungs-cache"),
            again.text.matches("ping").count()
        ),
        ("hit", 0)
    );
    assert_eq!(again.events(), answer.events());
}

#[tokio::test]
async fn r26_a_providers_comments_are_no_first_token() {
    let wire = slow(Duration::from_secs(10)).await;
    let config = |ping: &str| {
        format!(
            "server = {{ ping_seconds = {ping} }}\n[timeouts]\nfirst_frame_seconds = 1\n{NO_RETRY}{}{}",
            provider("p", &wire.base_url),
            free("m", "p", "L0")
        )
    };
    // Before the first ping the status is true.
    let gateway = Gateway::serve(&config("0"));
    let start = Instant::now();
    let answer = gateway.ask(&chat_stream("m", "q")).await;
    let waited = start.elapsed();
    assert!((1000..2000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(
        (answer.status, answer.error()["code"].clone()),
        (504, json!("timeout")),
        "{answer:?}"
    );
    // After it, it is an event.
    let gateway = Gateway::serve(&config("0.3"));
    let answer = gateway.ask(&chat_stream("m", "q")).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.text.starts_with(": ping\n\n") && !answer.text.contains("[DONE]"),
        "{answer:?}"
    );
    let last: serde_json::Value = serde_json::from_str(answer.events().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "timeout", "{answer:?}");
}

#[tokio::test]
async fn r26_a_gap_and_the_total_have_limits_of_their_own() {
    let wire = Wire::play(|heard, mut socket| async move {
        let _ = socket.write_all(sse(&[WORD]).as_bytes()).await;
        let wait = if heard.model() == "gap" { 3000 } else { 200 };
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if socket
                .write_all(format!("data: {WORD}\n\n").as_bytes())
                .await
                .is_err()
            {
                return;
            }
        }
    })
    .await;
    let limits = "server = { ping_seconds = 0 }\nrouting = { on_stream = \"pass\" }\n[timeouts]\ngap_seconds = 0.5\ntotal_seconds = 1.2\n";
    let config = format!(
        "{limits}{NO_RETRY}{}{}{}",
        provider("p", &wire.base_url),
        free("gap", "p", "L0"),
        free("total", "p", "L0")
    );
    let gateway = Gateway::serve(&config);
    for (name, message, at_least) in [
        ("gap", "no further frame within 0.5", 500),
        ("total", "deadline of 1.200 s", 1200),
    ] {
        let start = Instant::now();
        let answer = gateway.ask(&chat_stream(name, "q")).await;
        let last: serde_json::Value =
            serde_json::from_str(answer.events().last().unwrap()).unwrap();
        assert_eq!(last["error"]["code"], "timeout", "{answer:?}");
        assert!(
            last["error"]["message"].as_str().unwrap().contains(message),
            "{last}"
        );
        assert!(
            (at_least..at_least + 1000).contains(&start.elapsed().as_millis()),
            "{name}: {:?}",
            start.elapsed()
        );
    }
}
