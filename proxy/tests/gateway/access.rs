//! R9: closed unless it is meant to be open.

use serde_json::{Value, json};

use crate::support::*;

/// Paths that probes may ask without a key.
const OPEN: [&str; 5] = [
    "/health",
    "/live",
    "/ready",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
];

const ONE: &str =
    "[[provider]]\nname = \"p\"\nbase_url = \"http://127.0.0.1:9/v1\"\nallow_private = true\n";

fn memory(more: &str) -> String {
    format!(
        "store = {{ url = \"memory:\" }}\n{more}\n{ONE}{}",
        free("m", "p", "L0")
    )
}

async fn get_with_key(gateway: &Gateway, path: &str) -> Answer {
    let request = gateway.request("GET", path).bearer_auth(KEY);
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn r09_every_route_wants_a_key() {
    let gateway = Gateway::serve(&memory(&key("k", KEY, "")));
    let wrong_end = format!("{}1", &KEY[..KEY.len() - 1]);
    let document = get_with_key(&gateway, "/openapi.json").await;
    let document = document.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 10);
    for (path, methods) in paths {
        // Also methods that the route does not have: without a key nobody learns that.
        let methods = methods
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase());
        for method in methods.chain(["DELETE".to_owned(), "OPTIONS".to_owned()]) {
            let send = async |key: Option<&str>| {
                let request = gateway
                    .request(&method, &path.replace("{id}", "m"))
                    .header("content-type", "application/json");
                let request =
                    key.map_or(request.try_clone().unwrap(), |key| request.bearer_auth(key));
                Answer::read(request.body("{}").send().await.unwrap()).await
            };
            let place = format!("{method} {path}");
            let open = OPEN.contains(&&**path);
            for key in [
                None,
                Some("wrong"),
                Some(&*wrong_end),
                Some(""),
                Some("sk-rungs-0123456789ab-0123"),
            ] {
                let answer = send(key).await;
                assert_eq!(answer.status == 401, !open, "{place} {key:?} {answer:?}");
                if !open {
                    assert_eq!(answer.error()["code"], "invalid_api_key", "{place}");
                    assert_eq!(answer.header("www-authenticate"), "Bearer", "{place}");
                }
            }
            assert_ne!(send(Some(KEY)).await.status, 401, "{place}");
        }
    }
    // What does not exist wants a key, too: nobody can look for routes.
    assert_eq!(gateway.get("/v1/whatever").await.status, 401);
    let there = get_with_key(&gateway, "/v1/whatever").await;
    assert_eq!(
        (there.status, there.error()["code"].clone()),
        (404, Value::from("not_found"))
    );
}

#[tokio::test]
async fn r09_a_key_comes_in_either_header() {
    let gateway = Gateway::serve(&memory(&key("k", KEY, "")));
    for (name, value) in [
        ("authorization", format!("Bearer {KEY}")),
        ("authorization", format!("bearer {KEY}")),
        ("x-api-key", KEY.to_owned()),
    ] {
        let answer = gateway
            .request("GET", "/v1/models")
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{name}");
    }
    for (name, value) in [
        ("authorization", KEY.to_owned()),
        ("authorization", format!("Basic {KEY}")),
    ] {
        let answer = gateway
            .request("GET", "/v1/models")
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 401, "{name}");
    }
    // Never in the URL.
    assert_eq!(
        gateway
            .get(&format!("/v1/models?key={KEY}&api_key={KEY}"))
            .await
            .status,
        401
    );
}

#[test]
fn r09_it_does_not_start_open_to_other_computers() {
    for (config, args) in [
        (memory(""), &["--listen", "0.0.0.0:0"][..]),
        (memory("server = { listen = \"0.0.0.0:0\" }"), &[]),
        (memory("server = { listen = \"[::]:0\" }"), &[]),
        (
            memory("server = { listen = \"0.0.0.0:0\", auth = \"keys\" }"),
            &[],
        ),
    ] {
        let refused = Refused::by(&config, args);
        assert!(!refused.status.success());
        for word in [
            "refuses to start on ",
            "no key",
            "rungs keys create",
            "127.0.0.1",
        ] {
            assert!(refused.text.contains(word), "{word}: {}", refused.text);
        }
    }
    let refused = Refused::by(
        &memory(&format!(
            "server = {{ listen = \"0.0.0.0:0\", auth = \"none\" }}\n{}",
            key("k", KEY, "")
        )),
        &[],
    );
    assert!(
        !refused.status.success()
            && refused
                .text
                .contains("auth = \"none\" is for loopback only"),
        "{refused:?}"
    );
}

#[test]
fn r09_it_does_not_start_with_a_key_that_is_easily_guessed() {
    for (secret, why) in [
        ("", "empty"),
        ("   ", "empty"),
        ("short-but-odd", "fewer than 16"),
        ("changemechangeme", "easily guessed"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "easily guessed"),
        ("sk-1234567890-1234567890", "easily guessed"),
        ("your-secret-api-key-token", "easily guessed"),
    ] {
        let refused = Refused::by(&memory(&key("k", secret, "")), &["--listen", "127.0.0.1:0"]);
        assert!(!refused.status.success(), "{secret}");
        assert!(
            refused.text.contains("key[0].key") && refused.text.contains(why),
            "{secret}: {}",
            refused.text
        );
        assert!(
            secret.trim().is_empty() || !refused.text.contains(secret),
            "it shows the key: {}",
            refused.text
        );
    }
}

#[tokio::test]
async fn r09_no_web_page_is_answered_unless_listed() {
    let gateway = Gateway::serve(&memory(&key("k", KEY, ""))).with_key(KEY);
    let preflight = async |gateway: &Gateway, origin: &str| {
        let request = gateway
            .request("OPTIONS", "/v1/chat/completions")
            .header("origin", origin);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization");
        let answer = Answer::read(request.send().await.unwrap()).await;
        let headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        let allowed = headers
            .iter()
            .any(|name| name.starts_with("access-control-"));
        (
            allowed,
            answer.header("access-control-allow-origin").to_owned(),
        )
    };
    assert!(!preflight(&gateway, "https://app.example.com").await.0);
    let answer = gateway
        .request("GET", "/v1/models")
        .header("origin", "https://app.example.com")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(
        answer
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );

    let listed = memory(&format!(
        "server = {{ cors_origins = [\"https://app.example.com\"] }}\n{}",
        key("k", KEY, "")
    ));
    let gateway = Gateway::serve(&listed);
    assert_eq!(
        preflight(&gateway, "https://app.example.com").await.1,
        "https://app.example.com"
    );
    assert_eq!(
        preflight(&gateway, "https://app.example.com.evil").await.1,
        ""
    );
    assert!(
        Refused::by(&memory("server = { cors_origins = [\"*\"] }"), &[])
            .text
            .contains("server.cors_origins")
    );
}

#[tokio::test]
async fn r09_on_an_open_loopback_only_programs_are_answered() {
    let gateway = Gateway::serve(&memory(""));
    let models = async |headers: &[(&str, &str)]| {
        let request = gateway.request("GET", "/v1/models");
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.send().await.unwrap().status().as_u16()
    };
    let port = gateway.address().rsplit(':').next().unwrap();
    for host in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
    ] {
        assert_eq!(models(&[("host", &host)]).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.0.7",
        "0.0.0.0",
        "evil.example@localhost",
    ] {
        assert_eq!(models(&[("host", host)]).await, 403, "{host}");
    }
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost:1",
        "file://",
        "http://127.0.0.1.evil.example",
    ] {
        assert_eq!(models(&[("origin", origin)]).await, 403, "{origin}");
    }
    // Tools that answer from the same address are no strangers.
    assert_eq!(models(&[("origin", &gateway.url)]).await, 200);
    // Many clients insist on a key.
    assert_eq!(models(&[("authorization", "Bearer dummy")]).await, 200);
    assert_eq!(models(&[("x-api-key", "dummy")]).await, 200);

    // What a page can send without a preflight: a form, or text.
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data"),
        Some("application/jsonp"),
    ] {
        for path in [
            "/v1/chat/completions",
            "/v1/embeddings",
            "/v1/route",
            "/v1/route/explain",
        ] {
            let request = gateway
                .request("POST", path)
                .body(chat("m", "q").to_string());
            let request = kind.map_or(request.try_clone().unwrap(), |kind| {
                request.header("content-type", kind)
            });
            let answer = Answer::read(request.send().await.unwrap()).await;
            assert_eq!(answer.status, 415, "{kind:?} {path}");
            answer.error();
        }
    }
    let preflight = gateway
        .request("OPTIONS", "/v1/chat/completions")
        .header("origin", "https://evil.example");
    let preflight = preflight
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 403);
    assert!(
        preflight
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("access-control-"))
    );
}

#[tokio::test]
async fn a_key_that_names_its_models_cannot_let_the_provider_choose_another() {
    for more in ["models = [\"m\"]", "max_tier = \"L1\""] {
        let gateway = Gateway::serve(&memory(&key("k", KEY, more)));
        for name in ["models", "Models", "provider"] {
            let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "q" }], name: ["dear"] });
            let request = gateway.request("POST", "/v1/chat/completions");
            let sent = request.bearer_auth(KEY).json(&body).send().await;
            let answer = Answer::read(sent.unwrap()).await;
            assert_eq!(answer.status, 403, "{more} {name}: {answer:?}");
            assert_eq!(answer.error()["param"], *name);
        }
    }
}
