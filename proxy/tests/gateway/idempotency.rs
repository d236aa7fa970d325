//! Calls that are repeated under one `Idempotency-Key`.

use std::time::Duration;

use futures_util::future::join_all;
use rungs::testing::{Reply, Scripted, Upstream, servers::PostgresServer};
use serde_json::json;

use crate::support::*;

const NAME: &str = "idempotency-key";

async fn slow() -> (Scripted, Upstream, String) {
    let reply = Reply::text("one two three").after(Duration::from_millis(300));
    let provider_model = scripted("m", reply);
    let upstream = Upstream::serve([provider_model.clone()]).await.unwrap();
    // Without the cache, which would make one call of many for a reason of its own.
    let config = format!(
        "cache = {{ enabled = false }}\n{}{}",
        provider("p", &upstream.base_url()),
        free("m", "p", "L0")
    );
    (provider_model, upstream, config)
}

#[tokio::test]
async fn fifty_at_once_are_one_call() {
    let (provider_model, _upstream, config) = slow().await;
    let gateway = Gateway::serve(&config);
    for (n, body) in [chat("m", "q"), chat_stream("m", "q")].iter().enumerate() {
        let name = format!("order-{n}");
        let headers = [(NAME, &*name)];
        let asks = (0..50).map(|_| gateway.ask_with(body, &headers));
        let answers = join_all(asks).await;
        assert_eq!(provider_model.calls(), n + 1);
        let replayed = answers
            .iter()
            .filter(|a| a.header("idempotent-replayed") == "true");
        assert_eq!(replayed.count(), 49);
        for answer in &answers {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("x-rungs-model"), "m");
            match n {
                0 => assert_eq!(answer.text, answers[0].text),
                _ => assert_eq!(answer.streamed(), "one two three"),
            }
        }
        let again = gateway.ask_with(body, &[(NAME, &name)]).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        let different = chat("m", "another question");
        let answer = gateway.ask_with(&different, &[(NAME, &name)]).await;
        assert_eq!(
            (answer.status, answer.error()["code"].as_str()),
            (422, Some("idempotency_key_reused"))
        );
    }
    assert_eq!(provider_model.calls(), 2);
    // An attempt each, and a row for each repetition.
    assert_eq!(gateway.rows_after(102).await.len(), 102);
    gateway.ask(&chat("m", "q")).await;
    gateway.ask(&chat("m", "q")).await;
    assert_eq!(provider_model.calls(), 4);
}

#[tokio::test]
async fn a_client_that_lost_its_connection_gets_the_answer_when_it_comes_again() {
    let (provider_model, _upstream, config) = slow().await;
    let gateway = Gateway::serve(&config);
    for body in [chat("m", "q"), chat_stream("m", "q")] {
        let name = body.to_string().len().to_string();
        let calls = provider_model.calls();
        let request = gateway
            .post("/v1/chat/completions", body.to_string())
            .header(NAME, &name)
            .timeout(Duration::from_millis(100));
        assert!(request.send().await.is_err(), "it left before the answer");
        let answer = gateway.ask_with(&body, &[(NAME, &name)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("idempotent-replayed"), "true");
        assert_eq!(provider_model.calls(), calls + 1);
        assert_eq!(provider_model.cut(), 0);
    }
}

#[tokio::test]
async fn names_are_checked_and_belong_to_their_key() {
    let (provider_model, _upstream, config) = slow().await;
    let keys = format!(
        "{}{}",
        key("one", KEY, "rpm = 4"),
        key("two", "another-key-of-16", "")
    );
    let gateway = Gateway::serve(&format!("{config}{keys}")).with_key(KEY);
    let body = chat("m", "q");
    for wrong in ["", &"x".repeat(256), "caf\u{e9}"] {
        let answer = gateway.ask_with(&body, &[(NAME, wrong)]).await;
        assert_eq!(
            (answer.status, answer.error()["param"].as_str()),
            (400, Some(NAME))
        );
    }
    gateway.ask_with(&body, &[(NAME, "n")]).await;
    let answer = gateway.ask_with(&body, &[(NAME, "n")]).await;
    assert_eq!(
        answer.header("x-ratelimit-remaining-requests"),
        "2",
        "a repetition is a request"
    );
    assert_eq!(provider_model.calls(), 1);

    let route = gateway.post("/v1/route", json!({ "message": "q" }).to_string());
    let again = route.try_clone().unwrap();
    let first = Answer::read(route.header(NAME, "r").send().await.unwrap()).await;
    let second = Answer::read(again.header(NAME, "r").send().await.unwrap()).await;
    assert_eq!(first.json()["result"], second.json()["result"]);
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(provider_model.calls(), 2);

    let gateway = gateway.with_key("another-key-of-16");
    let answer = gateway.ask_with(&body, &[(NAME, "n")]).await;
    assert_eq!(answer.header("idempotent-replayed"), "");
    assert_eq!(provider_model.calls(), 3);
}

#[tokio::test]
async fn gateways_that_share_a_database_make_one_call_of_fifty() {
    let (provider_model, _upstream, config) = slow().await;
    let server = PostgresServer::start().unwrap();
    let store = format!(
        "[store]\nurl = \"{}\"\nsecret = \"tW5-oPq81-vw7x-Tk20-zq4-Hn81-vw7x\"\n",
        server.database().unwrap()
    );
    let config = format!("{config}{store}");
    let (one, two) = (Gateway::serve(&config), Gateway::serve(&config));
    for (n, body) in [chat("m", "q"), chat_stream("m", "q")].iter().enumerate() {
        let name = format!("order-{n}");
        let headers = [(NAME, &*name)];
        let asks = (0..50).map(|at| [&one, &two][at % 2].ask_with(body, &headers));
        let answers = join_all(asks).await;
        assert_eq!(provider_model.calls(), n + 1);
        let replayed = answers
            .iter()
            .filter(|a| a.header("idempotent-replayed") == "true");
        assert_eq!(replayed.count(), 49);
        assert!(answers.iter().all(|a| a.status == 200), "{answers:?}");
    }
    // Killed at once: what a client was told of is repeated by whoever is asked.
    let one = one.killed(&[]);
    for gateway in [&one, &two] {
        let again = gateway
            .ask_with(&chat("m", "q"), &[(NAME, "order-0")])
            .await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        let other = gateway
            .ask_with(&chat("m", "another"), &[(NAME, "order-0")])
            .await;
        assert_eq!(other.status, 422);
    }
    assert_eq!(provider_model.calls(), 2);
}

#[tokio::test]
async fn who_has_the_answer_gets_it_again_from_a_gateway_that_was_killed() {
    let (provider_model, _upstream, config) = slow().await;
    let mut gateway = Gateway::serve(&config);
    for body in [chat("m", "q"), chat_stream("m", "q")] {
        let calls = provider_model.calls();
        let name = body.to_string().len().to_string();
        let first = gateway.ask_with(&body, &[(NAME, &name)]).await;
        gateway = gateway.killed(&[]);
        let again = gateway.ask_with(&body, &[(NAME, &name)]).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        match body["stream"].as_bool() {
            Some(true) => assert_eq!(again.streamed(), first.streamed()),
            _ => assert_eq!(again.text, first.text),
        }
        let other = gateway
            .ask_with(&chat("m", "another"), &[(NAME, &name)])
            .await;
        assert_eq!(other.status, 422);
        assert_eq!(provider_model.calls(), calls + 1);
    }
}
