//! Requests that are wrong: told so in OpenAI's envelope, and nobody is asked.

use rungs::testing::{Reply, Upstream};
use serde_json::{Value, json};

use crate::support::*;

pub(crate) async fn gateway() -> (rungs::testing::Scripted, Upstream, Gateway) {
    let provider_model = scripted("small", Reply::text("here"));
    let upstream = Upstream::serve([provider_model.clone()]).await.unwrap();
    let server = "[server]\nbody_limit = 1000000\nread_seconds = 0.5\nheader_seconds = 1\n";
    let embed = model(
        "vectors",
        "p",
        "L0",
        "capabilities = [\"embeddings\"]\nprice = 0",
    );
    let gateway = Gateway::serve(&format!(
        "{server}{}{}{embed}",
        provider("p", &upstream.base_url()),
        free("small", "p", "L0")
    ));
    (provider_model, upstream, gateway)
}

/// Nobody was asked, and nothing was written down.
pub(crate) async fn nothing_happened(provider_model: &rungs::testing::Scripted, gateway: &Gateway) {
    assert_eq!(provider_model.calls(), 0);
    assert_eq!(gateway.counted("rungs_attempts_total").await, 0.0);
    assert_eq!(gateway.rows().await, []);
    // It still works.
    assert_eq!(gateway.ask(&chat("small", "q")).await.content(), "here");
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (provider_model, _upstream, gateway) = gateway().await;
    for begun in ["", "P", "PRI * HT"] {
        let mut socket = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let closed = tokio::time::timeout(
            std::time::Duration::from_secs(10),
            socket.read_to_end(&mut said),
        );
        let _ = closed.await.expect("it is closed");
    }
    nothing_happened(&provider_model, &gateway).await;
}

#[tokio::test]
async fn wrong_bodies_are_told_what_is_wrong() {
    let (provider_model, _upstream, gateway) = gateway().await;
    const CHAT: &str = "/v1/chat/completions";
    let with = |member: &str, value: Value| {
        let mut body = chat("small", "q");
        body[member] = value;
        body.to_string()
    };
    let none = "";
    let cases: Vec<(&str, String, u16, &str, &str)> = vec![
        (CHAT, String::new(), 400, none, ""),
        (CHAT, "{".into(), 400, none, ""),
        (CHAT, "nonsense".into(), 400, none, ""),
        (CHAT, "[]".into(), 400, none, "object"),
        (CHAT, "null".into(), 400, none, "object"),
        (CHAT, "\"{}\"".into(), 400, none, "object"),
        (CHAT, format!("{} {{}}", chat("small", "q")), 400, none, ""),
        (CHAT, format!("{}x", chat("small", "q")), 400, none, ""),
        (
            CHAT,
            "{\"model\":\"small\",\"messages\":[{\"role\":\"user\",\"content\":\"\u{1}\"}]}".into(),
            400,
            none,
            "",
        ),
        (
            CHAT,
            r#"{"model":"small","messages":[{"role":"user","content":"q"}],"model":"auto"}"#.into(),
            400,
            none,
            "model",
        ),
        (
            CHAT,
            r#"{"model":"small","messages":[{"role":"user","content":"q"}],"mod\u0065l":"auto"}"#
                .into(),
            400,
            none,
            "model",
        ),
        (
            CHAT,
            json!({"messages": [{"role": "user", "content": "q"}]}).to_string(),
            400,
            "model",
            "missing",
        ),
        (
            CHAT,
            json!({"model": "small"}).to_string(),
            400,
            "messages",
            "missing",
        ),
        (
            CHAT,
            json!({"model": "small", "messages": []}).to_string(),
            400,
            "messages",
            "empty",
        ),
        (
            CHAT,
            with("model", json!("smal")),
            404,
            "model",
            "did you mean `small`",
        ),
        (
            CHAT,
            with("model", json!("completely-else")),
            404,
            "model",
            "/v1/models",
        ),
        (CHAT, with("model", json!("")), 400, "model", "empty"),
        (CHAT, with("model", json!(7)), 400, "model", "string"),
        (
            CHAT,
            with("model", json!(["small"])),
            400,
            "model",
            "string",
        ),
        (CHAT, with("messages", json!("q")), 400, "messages", "list"),
        (CHAT, with("messages", json!({})), 400, "messages", "list"),
        (
            CHAT,
            with("stream", json!("true")),
            400,
            "stream",
            "true or false",
        ),
        (
            CHAT,
            with("stream", json!(1)),
            400,
            "stream",
            "true or false",
        ),
        (
            CHAT,
            with("stream_options", json!(true)),
            400,
            "stream_options",
            "object",
        ),
        (
            CHAT,
            with("max_tokens", json!(-1)),
            400,
            "max_tokens",
            "whole number",
        ),
        (
            CHAT,
            with("max_tokens", json!(1.5)),
            400,
            "max_tokens",
            "whole number",
        ),
        (
            CHAT,
            with("max_tokens", json!("10")),
            400,
            "max_tokens",
            "whole number",
        ),
        (
            CHAT,
            with("temperature", json!("hot")),
            400,
            "temperature",
            "number",
        ),
        (CHAT, with("tools", json!({})), 400, "tools", "list"),
        (
            CHAT,
            with("response_format", json!("json")),
            400,
            "response_format",
            "object",
        ),
        (CHAT, with("user", json!(5)), 400, "user", "string"),
        (
            CHAT,
            with("model", json!("vectors")),
            400,
            "model",
            "no model that this request may use",
        ),
        (
            "/v1/embeddings",
            json!({"model": "vectors"}).to_string(),
            400,
            "input",
            "missing",
        ),
        (
            "/v1/embeddings",
            json!({"model": "vector", "input": "x"}).to_string(),
            404,
            "model",
            "did you mean `vectors`",
        ),
        (
            "/v1/embeddings",
            json!({"model": "small", "input": "x"}).to_string(),
            400,
            "model",
            "no model that this request may use",
        ),
        ("/v1/route", "{".into(), 400, none, ""),
        ("/v1/route", "{}".into(), 400, none, "message"),
        (
            "/v1/route",
            json!({"message": "  "}).to_string(),
            400,
            "message",
            "empty",
        ),
        (
            "/v1/route",
            json!({"message": 5}).to_string(),
            400,
            "message",
            "string",
        ),
        (
            "/v1/route",
            json!({"message": "q", "qualityLevel": "best"}).to_string(),
            400,
            none,
            "best",
        ),
        (
            "/v1/route",
            r#"{"message":"q","message":"r"}"#.into(),
            400,
            none,
            "message",
        ),
        (
            "/v1/route",
            json!({"message": "q", "model": "smal"}).to_string(),
            404,
            "model",
            "did you mean `small`",
        ),
        ("/v1/route/explain", "{".into(), 400, none, ""),
        (
            "/v1/route/explain",
            json!({"model": 5}).to_string(),
            400,
            none,
            "model",
        ),
        (
            "/v1/route/explain",
            json!({"model": "smal"}).to_string(),
            404,
            "model",
            "did you mean `small`",
        ),
    ];
    for (path, body, status, param, message) in cases {
        let answer = Answer::read(gateway.post(path, body.clone()).send().await.unwrap()).await;
        let place = format!("{path} {body}: {answer:?}");
        assert_eq!(answer.status, status, "{place}");
        let error = answer.error();
        let code = if status == 404 {
            "not_found"
        } else {
            "invalid_request_error"
        };
        assert_eq!(error["code"], code, "{place}");
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{place}"
        );
        assert!(param.is_empty() || error["param"] == param, "{place}");
    }
    for (name, value) in [
        ("x-rungs-quality", "best"),
        ("x-rungs-max-tier", "L77"),
        ("x-rungs-min-tier", "high"),
        ("x-rungs-cache", "no"),
    ] {
        let answer = gateway.ask_with(&chat("auto", "q"), &[(name, value)]).await;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        let error = answer.error();
        assert_eq!(error["param"], name);
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
    let above = gateway
        .ask_with(&chat("auto", "q"), &[("x-rungs-max-tier", "L3")])
        .await;
    assert_eq!(
        (above.status, above.error()["code"].clone()),
        (403, json!("permission_denied"))
    );
    nothing_happened(&provider_model, &gateway).await;
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_envelope() {
    let (provider_model, _upstream, gateway) = gateway().await;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/models/none", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/metrics", 405),
    ] {
        let request = gateway
            .request(method, path)
            .header("content-type", "application/json");
        let answer = Answer::read(request.body("{}").send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        answer.error();
    }
    nothing_happened(&provider_model, &gateway).await;
}
