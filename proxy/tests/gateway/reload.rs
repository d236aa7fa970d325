//! R32: what a reload replaces, and what it leaves alone.

use rungs::testing::{Reply, Upstream};
use serde_json::Value;

use crate::support::*;

/// Two models that answer at once, without a key of the gateway.
async fn answering() -> (Upstream, String) {
    let upstream = Upstream::serve([scripted("m", Reply::text("one two three"))])
        .await
        .unwrap();
    let config = format!(
        "{}{}",
        provider("p", &upstream.base_url()),
        free("m", "p", "L0")
    );
    (upstream, config)
}

/// Writes `config`, and waits until the gateway has read it so often.
async fn reload(gateway: &Gateway, config: &str) {
    const DONE: &str = ": reloaded";
    std::fs::write(gateway.folder.join("rungs.toml"), config).unwrap();
    let before = gateway.log().matches(DONE).count();
    gateway.signal("HUP");
    until("the reload", || {
        gateway.log().matches(DONE).count() > before
    })
    .await;
}

fn create(gateway: &Gateway, args: &[&str]) -> (String, String) {
    let args = [&["keys", "create", "--json", "--name", "k"], args].concat();
    let made: Value = serde_json::from_str(&gateway.rungs(&args)).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

#[tokio::test]
async fn r32_taking_back_the_last_key_opens_nothing() {
    let (_upstream, config) = answering().await;
    let gateway = Gateway::serve(&config);
    let (id, secret) = create(&gateway, &[]);
    assert_eq!(
        gateway.get("/v1/models").await.status,
        200,
        "open still: the gateway began without keys, and looks for one every 30 seconds"
    );
    reload(&gateway, &config).await;
    assert_eq!(gateway.get("/v1/models").await.status, 401);
    gateway.rungs(&["keys", "revoke", &id]);
    reload(&gateway, &config).await;
    assert_eq!(gateway.get("/v1/models").await.status, 401);
    let gateway = gateway.restart().await;
    assert_eq!(gateway.get("/v1/models").await.status, 401);
    let gateway = gateway.with_key(&secret);
    assert_eq!(gateway.get("/v1/models").await.status, 401);
}

#[tokio::test]
async fn connections_are_accepted_while_a_reload_waits_for_a_local_server() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let gateway = Gateway::serve_in(&folder(), &[("OSS_MODEL_ENDPOINT", &endpoint)]);
    let at_start = silent.accept().unwrap();
    gateway.signal("HUP");
    let at_reload = tokio::task::spawn_blocking(move || silent.accept().unwrap());
    let at_reload = at_reload.await.unwrap();
    assert_eq!(gateway.get("/live").await.status, 200);
    assert!(!gateway.log().contains(": reloaded"), "{}", gateway.log());
    gateway.logs(": reloaded").await;
    drop((at_start, at_reload));
}

#[tokio::test]
async fn without_a_model_a_call_is_told_what_is_missing() {
    let gateway = Gateway::serve("store = { url = \"memory:\" }\n[catalog]\nbuiltin = \"off\"\n");
    for model in ["auto", "gpt-5"] {
        let answer = gateway.ask(&chat(model, "q")).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.text.contains("set a provider's key"), "{answer:?}");
    }
}

#[tokio::test]
async fn r32_a_reload_without_keys_opens_only_what_says_so() {
    let (_upstream, config) = answering().await;
    let memory = "store = { url = \"memory:\" }\n";
    let gateway = Gateway::serve(&format!("{memory}{}{config}", key("k", KEY, "")));
    reload(&gateway, &format!("{memory}{config}")).await;
    assert_eq!(gateway.get("/v1/models").await.status, 401);
    gateway.logs("nobody can come in").await;
    let open = format!("{memory}server = {{ auth = \"none\" }}\n{config}");
    reload(&gateway, &open).await;
    assert_eq!(gateway.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_key_whose_project_is_gone_spends_nothing_until_it_is_back() {
    let (_upstream, config) = answering().await;
    let project = "[[project]]\nname = \"website\"\nbudget = \"1/day\"\n";
    let with = format!("{config}{project}");
    let gateway = Gateway::serve(&with);
    let (id, secret) = create(&gateway, &["--project", "website"]);
    reload(&gateway, &with).await;
    let gateway = gateway.with_key(&secret);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);

    reload(&gateway, &with.replace("website", "site")).await;
    let refused = gateway.ask(&chat("m", "q")).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.text.contains("`website`"), "{refused:?}");
    let log = gateway.log();
    let told = log.lines().any(|line| {
        line.contains("the project that pays") && line.contains(&id) && line.contains("website")
    });
    assert!(told, "{log}");

    reload(&gateway, &with).await;
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
}

#[tokio::test]
async fn r32_a_reload_says_what_waits_for_the_next_start() {
    let (_upstream, config) = answering().await;
    let gateway = Gateway::serve(&config);
    reload(
        &gateway,
        &format!(
            "server = {{ body_limit = 10, ping_seconds = 1 }}\nlog = {{ level = \"warn,rungs=info\" }}\n\
             cache = {{ ttl_seconds = 5 }}\nlimits = {{ max_drains = 3 }}\n[tools]\nroots = [\"/\"]\n\
             [[key]]\nname = \"old\"\nkey = \"{KEY}\"\nexpires = \"2020-01-01\"\n{config}"
        ),
    )
    .await;
    gateway
        .logs("[server], [limits], [log], [tools] and is read at the start")
        .await;
    // What is not wrong but should be known is told now too.
    gateway.logs("the key `old` has expired").await;
}

#[tokio::test]
async fn a_body_limit_is_the_same_for_all_routes_after_a_reload() {
    let (_upstream, config) = answering().await;
    let gateway = Gateway::serve(&config);
    reload(
        &gateway,
        &format!("server = {{ body_limit = 10 }}\n{config}"),
    )
    .await;
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
    let own = gateway.post("/v1/chat", r#"{"prompt":"longer than that"}"#);
    let own = Answer::read(own.send().await.unwrap()).await;
    assert_ne!(own.status, 413, "{own:?}");
}

#[tokio::test]
async fn another_key_for_a_provider_is_tried_at_once() {
    let answer = |status: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let wire = Wire::answer(move |heard| match heard.head.contains("sk-right-4f1d9c2a") {
        true => answer(
            "200 OK",
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        ),
        false => answer("401 Unauthorized", r#"{"error":{"message":"bad key"}}"#),
    })
    .await;
    let config = |key: &str| {
        format!(
            "cache = {{ enabled = false }}\n{}api_key = \"{key}\"\n{}",
            provider("p", &wire.base_url),
            free("m", "p", "L0")
        )
    };
    let gateway = Gateway::serve(&config("sk-wrong-4f1d9c2a"));
    for status in [502, 503] {
        let answer = gateway.ask(&chat("m", "q")).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    reload(&gateway, &config("sk-wrong-4f1d9c2a")).await;
    assert_eq!(
        gateway.ask(&chat("m", "q")).await.status,
        503,
        "nothing has changed: it is left alone still"
    );
    reload(&gateway, &config("sk-right-4f1d9c2a")).await;
    assert_eq!(gateway.ask(&chat("m", "q")).await.content(), "yes");
}
