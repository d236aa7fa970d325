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
