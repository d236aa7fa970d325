//! R36: who asks nothing pays nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::*;

#[tokio::test]
async fn r36_an_idle_gateway_asks_nobody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let server = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let config = format!(
        "{}{}{}",
        key("k", KEY, ""),
        provider("p", &base_url),
        free("m", "p", "L0")
    );
    let gateway = Gateway::serve(&config);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        for probe in ["/live", "/ready", "/health"] {
            let answer = gateway.get(probe).await;
            assert_eq!(
                (answer.status, answer.json()["status"].as_str()),
                (200, Some("ok")),
                "{probe}"
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    assert_eq!(gateway.rows().await, []);
    server.abort();
}

#[tokio::test]
async fn without_models_it_lives_and_is_not_ready() {
    let gateway = Gateway::serve("store = { url = \"memory:\" }\n[catalog]\nbuiltin = \"off\"\n");
    assert_eq!(gateway.get("/live").await.status, 200);
    let ready = gateway.get("/ready").await;
    assert_eq!(ready.status, 503);
    assert!(
        ready.json()["status"]
            .as_str()
            .unwrap()
            .contains("no models")
    );
    assert_eq!(gateway.get("/health").await.json()["database"], false);
}

#[tokio::test]
async fn why_there_are_no_models_is_told_to_who_runs_the_gateway_alone() {
    let none = "store = { url = \"memory:\" }\n[catalog]\nbuiltin = \"off\"\n";
    let told = async |gateway: Gateway| {
        let answer = gateway.ask(&chat("m", "q")).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        answer.error()["message"].as_str().unwrap().to_owned()
    };
    let open = told(Gateway::serve(none)).await;
    assert!(open.contains("start an Ollama"), "{open}");
    let keyed = Gateway::serve(&format!("{none}{}", key("k", KEY, ""))).with_key(KEY);
    assert_eq!(
        told(keyed).await,
        "this gateway has no models; its log says why"
    );
}
