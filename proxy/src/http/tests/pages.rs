use axum::body::Body;
use hyper::service::Service as _;

use super::*;

const PAGE: &str = "https://app.example.com";

#[tokio::test]
async fn a_listed_page_may_say_and_read_all_that_a_client_may() {
    let listed = format!("server = {{ cors_origins = [\"{PAGE}\"] }}\n{CONFIG}");
    let (_gateway, surface) = served_with(&listed).await;
    let names = |answer: &http::Response<_>, list: &str| {
        let list = answer.headers()[list].to_str().unwrap().to_lowercase();
        list.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let asked = Request::options("/v1/chat/completions")
        .header("origin", PAGE)
        .header("access-control-request-method", "POST")
        .body(Body::empty());
    let allowed = surface.call(asked.unwrap()).await.unwrap();
    let methods = names(&allowed, "access-control-allow-methods");
    for method in METHODS {
        assert!(
            methods.contains(&method.as_str().to_lowercase()),
            "{method}"
        );
    }
    let headers = names(&allowed, "access-control-allow-headers");
    for name in [
        "authorization",
        "x-api-key",
        "cache-control",
        "idempotency-key",
        "x-rungs-quality",
        "x-rungs-min-tier",
        "x-rungs-max-tier",
        "x-rungs-fallback",
        "x-rungs-cache",
        "x-rungs-conversation",
    ] {
        assert!(headers.iter().any(|header| header == name), "{name}");
    }
    // Nobody answers at the provider's address; the error has the facts of the call.
    let asked = request(&Method::POST, "/v1/chat/completions", Some(USER))
        .header("origin", PAGE)
        .body(Body::from(
            r#"{"model":"m","messages":[{"role":"user","content":"q"}]}"#,
        ));
    let answer = surface.call(asked.unwrap()).await.unwrap();
    let exposed = names(&answer, "access-control-expose-headers");
    let told = answer.headers().keys().map(HeaderName::as_str);
    let told: Vec<_> = told.filter(|name| name.starts_with("x-")).collect();
    assert!(told.contains(&"x-rungs-attempts"), "{told:?}");
    for name in told.into_iter().chain([
        "x-rungs-tier",
        "x-rungs-cost-usd",
        "x-ratelimit-reset-tokens",
        "idempotent-replayed",
        "retry-after",
    ]) {
        assert!(exposed.iter().any(|header| header == name), "{name}");
    }
}

#[tokio::test]
async fn who_looks_for_another_api_is_told_what_there_is_instead() {
    let (_gateway, surface) = served().await;
    for (path, told) in [
        ("/v1/responses", "Responses API"),
        ("/v1/responses/resp_1", "POST /v1/chat/completions"),
        ("/v1/completions", "POST /v1/chat/completions"),
        ("/v1/messages", "Anthropic's Messages API"),
        ("/v1/messages/count_tokens", "POST /v1/chat/completions"),
        ("/api/chat", "Ollama's own API"),
        ("/api/embed", "POST /v1/embeddings"),
        ("/chat/completions", "the base URL ends in /v1"),
        ("/embeddings", "the base URL ends in /v1"),
        ("/models", "the base URL ends in /v1"),
        ("/v1/v1/chat/completions", "one /v1"),
        ("/v1/audio/speech", "POST /v1/embeddings"),
        ("/v2/else", "there is nothing at `/v2/else`\""),
    ] {
        let asked = request(&Method::POST, path, Some(USER)).body(Body::from("{}"));
        let answer = surface.call(asked.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let body = axum::body::to_bytes(answer.into_body(), 1 << 16)
            .await
            .unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains(told), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_key_is_shown_the_models_and_tiers_that_it_reaches() {
    let model = |id: &str, tier: &str, window: u32| {
        format!(
            "[[model]]\nid = \"{id}\"\nprovider = \"p\"\ntier = \"{tier}\"\nprice = 0\ncontext_window = {window}\n"
        )
    };
    const HIGH: &str = "k3J9-x7Qm-82Lw-p0Zt";
    let config = format!(
        "{CONFIG}{}{}[[key]]\nname = \"high\"\nkey = \"{HIGH}\"\nmax_tier = \"L3\"\n",
        model("small", "L1", 8_000),
        model("large", "L3", 100_000),
    );
    let (_gateway, surface) = served_with(&config).await;
    let get = async |path: &str, key| {
        let asked = request(&Method::GET, path, Some(key)).body(Body::empty());
        let answer = surface.call(asked.unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 16)
            .await
            .unwrap();
        (
            status,
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
        )
    };
    for (key, names, tiers, window) in [
        (USER, &["auto", "m", "small"][..], &["L0", "L1"][..], 8_000),
        (
            HIGH,
            &["auto", "m", "small", "large"],
            &["L0", "L1", "L3"],
            100_000,
        ),
    ] {
        let (_, listed) = get("/v1/models", key).await;
        let ids: Vec<_> = { listed["data"].as_array().unwrap().iter() }
            .map(|card| card["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, names);
        let (_, auto) = get("/v1/models/auto", key).await;
        assert_eq!(auto["tiers"], serde_json::json!(tiers));
        assert_eq!(auto["context_window"], window);
    }
    let (status, refused) = get("/v1/models/large", USER).await;
    assert_eq!(status, 403, "{refused}");
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("tier L3 is above L2"), "{said}");

    let (status, refused) = get("/v1/models/%ff", USER).await;
    assert_eq!(status, 400, "{refused}");
    assert!(refused["error"]["message"].is_string(), "{refused}");
}
