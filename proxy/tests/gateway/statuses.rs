//! R12: what the provider said reaches the client.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::support::*;

struct Case {
    name: &'static str,
    /// What the provider answers.
    answer: String,
    /// What the client sees.
    status: u16,
    code: &'static str,
    message: &'static str,
    upstream_status: Value,
}

fn http(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

fn said(status: u16, message: &str) -> String {
    let body =
        json!({ "error": { "message": message, "type": "t", "param": "the_param", "code": "c" } });
    http(
        status,
        "content-type: application/json\r\n",
        &body.to_string(),
    )
}

fn cases() -> Vec<Case> {
    let case = |name, answer, status, code, message, upstream: u16| Case {
        name,
        answer,
        status,
        code,
        message,
        upstream_status: if upstream == 0 {
            Value::Null
        } else {
            json!(upstream)
        },
    };
    let page = "<html><body>Bad gateway of somebody's proxy</body></html>";
    let ok = |headers: &str, body: &str| http(200, headers, body);
    let json_type = "content-type: application/json\r\n";
    vec![
        case("s400", said(400, "no such voice"), 400, "invalid_request_error", "no such voice", 400),
        case("s401", said(401, "Incorrect API key: sk-up"), 502, "upstream_error", "refused the gateway's API key", 401),
        case("s402", said(402, "pay first"), 502, "upstream_error", "no credit", 402),
        case("s403", said(403, "not in your country"), 502, "upstream_error", "not in your country", 403),
        case("s404", said(404, "no such model"), 404, "not_found", "no such model", 404),
        case("s408", said(408, "too slow"), 504, "timeout", "too slow", 408),
        case("s409", said(409, "conflict"), 409, "invalid_request_error", "conflict", 409),
        case("s413", said(413, "too large for us"), 413, "request_too_large", "too large for us", 413),
        case("s422", said(422, "cannot be processed"), 422, "invalid_request_error", "cannot be processed", 422),
        case("s429", said(429, "slow down").replacen("\r\n", "\r\nretry-after: 17\r\n", 1), 429, "rate_limit_exceeded", "slow down", 429),
        case("s500", said(500, "oops"), 500, "upstream_error", "oops", 500),
        case("s502", said(502, "bad gateway"), 502, "upstream_error", "bad gateway", 502),
        case("s503", said(503, "not now").replacen("\r\n", "\r\nretry-after: 23\r\n", 1), 503, "service_unavailable", "not now", 503),
        case("s529", said(529, "overloaded"), 529, "service_unavailable", "overloaded", 529),
        case("html-error", http(502, "content-type: text/html\r\n", page), 502, "upstream_error", "status 502", 502),
        case("empty-error", http(500, "", ""), 500, "upstream_error", "status 500", 500),
        case("redirect", http(302, "location: http://127.0.0.1:1/\r\n", ""), 502, "upstream_error", "redirect", 302),
        case("garbage", ok(json_type, "{\"choices\": [oops"), 502, "upstream_error", "", 0),
        case("html", ok("content-type: text/html\r\n", page), 502, "upstream_error", "", 0),
        case("empty", ok(json_type, ""), 502, "upstream_error", "", 0),
        case("error-under-200", ok(json_type, "{\"error\":{\"message\":\"inner trouble\",\"code\":503}}"), 503, "service_unavailable", "inner trouble", 503),
        case("reset", String::new(), 502, "stream_cut", "broke", 0),
        case("half", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"id\":\"x\",".into(), 502, "stream_cut", "broke", 0),
    ]
}

fn check(case: &Case, answer: &Answer, form: &str) {
    let place = format!("{} {form}: {answer:?}", case.name);
    assert_eq!(answer.status, case.status, "{place}");
    let error = answer.error();
    assert_eq!(
        (&error["code"], &error["type"]),
        (&json!(case.code), &json!(case.code)),
        "{place}"
    );
    assert!(
        error["message"].as_str().unwrap().contains(case.message),
        "{place}"
    );
    assert!(
        !error["message"].as_str().unwrap().contains("<html>"),
        "{place}"
    );
    assert_eq!(
        (&error["provider"], &error["model"]),
        (&json!("p"), &json!(case.name)),
        "{place}"
    );
    assert_eq!(error["upstream_status"], case.upstream_status, "{place}");
    assert_eq!(answer.header("x-rungs-attempts"), "1", "{place}");
    let said = case.answer.contains("the_param") && case.name != "s401" && case.name != "s402";
    if said {
        assert_eq!(error["param"], "the_param", "{place}");
    }
    let retry_after = match case.name {
        "s429" => "17",
        "s503" => "23",
        _ => "",
    };
    assert_eq!(answer.header("retry-after"), retry_after, "{place}");
}

#[tokio::test]
async fn r12_what_the_provider_said_reaches_the_client() {
    let wire = Wire::answer(|heard| {
        let name = heard.model();
        cases()
            .into_iter()
            .find(|case| case.name == name)
            .unwrap()
            .answer
    })
    .await;
    let models: String = cases()
        .iter()
        .map(|case| free(case.name, "p", "L0"))
        .collect();
    let gateway = Gateway::serve(&format!(
        "{NO_RETRY}{}{models}",
        provider("p", &wire.base_url)
    ));
    for case in cases() {
        check(
            &case,
            &gateway.ask(&chat(case.name, "whole")).await,
            "whole",
        );
    }
    // Nothing has been sent yet, so a stream fails with a true status, too. Whoever was left alone after 401 or 429 is not asked again.
    let rest = cases().into_iter().filter(|case| {
        !matches!(
            case.name,
            "s401" | "s402" | "s403" | "s429" | "s503" | "s529"
        )
    });
    for case in rest {
        check(
            &case,
            &gateway.ask(&chat_stream(case.name, "streamed")).await,
            "streamed",
        );
    }
}

#[tokio::test]
async fn r12_a_provider_that_is_not_there_is_503() {
    let free_port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let config = format!(
        "{NO_RETRY}{}{}",
        provider("p", &format!("http://{free_port}/v1")),
        free("m", "p", "L0")
    );
    let gateway = Gateway::serve(&config);
    for body in [chat("m", "q"), chat_stream("m", "q")] {
        let answer = gateway.ask(&body).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        let error = answer.error();
        assert_eq!(error["code"], "service_unavailable");
        assert_eq!(
            (&error["provider"], &error["model"]),
            (&json!("p"), &json!("m"))
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("cannot be reached"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn r12_a_provider_that_is_silent_is_504() {
    let wire = Wire::play(|_, mut socket| async move {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
        tokio::time::sleep(PATIENCE).await;
    })
    .await;
    let config = format!(
        "[timeouts]\nfirst_frame_seconds = 0.3\ntotal_seconds = 0.5\n{NO_RETRY}{}{}",
        provider("p", &wire.base_url),
        free("m", "p", "L0")
    );
    let gateway = Gateway::serve(&config);
    for (body, limit) in [
        (chat("m", "q"), Duration::from_millis(500)),
        (chat_stream("m", "q"), Duration::from_millis(300)),
    ] {
        let start = std::time::Instant::now();
        let answer = gateway.ask(&body).await;
        assert_eq!(
            (answer.status, answer.error()["code"].clone()),
            (504, json!("timeout")),
            "{answer:?}"
        );
        assert!(start.elapsed() >= limit, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn connections_that_a_provider_has_closed_are_not_used_again() {
    const BODY: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"here"},"finish_reason":"stop"}]}"#;
    // It closes after each answer and does not say so beforehand.
    let wire = Wire::answer(|_| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
            BODY.len()
        )
    })
    .await;
    let config = format!(
        "{NO_RETRY}{}{}",
        provider("p", &wire.base_url),
        free("m", "p", "L0")
    );
    let gateway = Gateway::serve(&config);
    for number in 0..50 {
        let answer = gateway.ask(&chat("m", &format!("q{number}"))).await;
        assert_eq!(answer.status, 200, "{number}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(number % 5)).await;
    }
}
