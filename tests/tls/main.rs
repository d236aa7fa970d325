//! Hosts behind TLS, and the protocol that they choose.
#![cfg(feature = "hyper")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code too")]

mod host;

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use rungs::{
    Error, ErrorKind,
    provider::{HyperTransport, TransportConfig},
};
use tokio::{sync::Barrier, time::timeout};
use tower::ServiceExt;

use self::host::{HOST, Host, Refusal, answer, break_off, leave, refuse, refusing};

/// More than a connection carries.
const TOGETHER: usize = 150;

/// More than we give to a connection.
const MANY: u32 = 200;

/// Runs the client of that name against a host that offers `protocols`; how many connections it took.
async fn run(client: &str, protocols: &[&str], spoken: Version) -> usize {
    crowd(client, protocols, spoken, MANY).await
}

/// The same, where a connection carries no more than so many.
async fn crowd(client: &str, protocols: &[&str], spoken: Version, at_a_time: u32) -> usize {
    let together = Arc::new(Barrier::new(TOGETHER));
    let serve = move |socket, _| answer(socket, at_a_time, Arc::clone(&together));
    let host = Host::start(protocols, serve).await;
    host.serves(client, spoken).await
}

/// Runs [`client`] against a host that offers `protocols`; how many connections it took.
async fn connections(protocols: &[&str], spoken: Version) -> usize {
    run("client", protocols, spoken).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_offers_http2_has_one_connection_for_all_calls() {
    assert_eq!(connections(&["h2", "http/1.1"], Version::HTTP_2).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_has_as_many_as_there_are_calls_at_a_time() {
    assert_eq!(connections(&["http/1.1"], Version::HTTP_11).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_its_host_leaves_is_not_used() {
    let http2 = run("left_client", &["h2"], Version::HTTP_2).await;
    assert_eq!(http2, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_needed_for_long_is_not_used() {
    let http2 = run("patient_client", &["h2"], Version::HTTP_2).await;
    assert_eq!(http2, 2);
    let http1 = run("patient_client", &["http/1.1"], Version::HTTP_11).await;
    assert_eq!(http1, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_a_connection_has_no_room_for_open_another_one() {
    for client in ["sudden_client", "steady_client"] {
        let http2 = run(client, &["h2"], Version::HTTP_2).await;
        assert_eq!(http2, 2, "{client}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_no_more_than_its_host_allows() {
    let http2 = crowd("steady_client", &["h2"], Version::HTTP_2, 40).await;
    assert_eq!(http2, TOGETHER.div_ceil(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_leaves_those_beside_it_theirs() {
    assert_eq!(run("unread_client", &["h2"], Version::HTTP_2).await, 1);
}

/// Runs the client of that name against a host that refuses these requests of its first connection.
async fn refused(client: &str, refused: Range<u32>, refusal: Refusal) -> usize {
    let serve = move |socket, number| {
        let refused = if number == 0 { refused.clone() } else { 0..0 };
        refusing(socket, refused, refusal)
    };
    let host = Host::start(&["h2"], serve).await;
    host.serves(client, Version::HTTP_2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_has_no_room_for_is_asked_again() {
    assert_eq!(refused("content_client", 1..2, refuse).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_does_not_hear_as_it_leaves_is_asked_over_another_connection() {
    assert_eq!(refused("content_client", 1..2, leave).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_refuses_again_was_not_begun() {
    for refusal in [refuse, leave] {
        assert_eq!(refused("refused_client", 0..9, refusal).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_may_have_begun_is_not_asked_again() {
    assert_eq!(refused("cut_client", 0..1, break_off).await, 1);
}

/// Has its answers, one call after another.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn content_client() {
    let transport = transport();
    for _ in 0..4 {
        assert_eq!(call(&transport).await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn refused_client() {
    let refused = call(&transport()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn cut_client() {
    let cut = call(&transport()).await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Cut);
}

async fn call(transport: &HyperTransport) -> Result<StatusCode, Error> {
    let request = Request::post(told().1).body(Bytes::from("{}")).unwrap();
    Ok(transport.clone().oneshot(request).await?.status())
}

/// One call, then more at a time than one connection carries, then one.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn sudden_client() {
    let transport = transport();
    ask(&transport, 1).await;
    let calls = (0..TOGETHER).map(|_| transport.clone().oneshot(get("/heads")));
    for answer in join_all(calls).await {
        answer.unwrap().into_body().collect().await.unwrap();
    }
    ask(&transport, 1).await;
}

/// The same, of which each begins when the one before has begun to be answered.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn steady_client() {
    let transport = transport();
    ask(&transport, 1).await;
    let mut bodies = Vec::new();
    for _ in 0..TOGETHER {
        let asking = transport.clone().oneshot(get("/bodies"));
        let answer = timeout(Duration::from_secs(10), asking).await;
        let answer = answer.expect("there is room").unwrap();
        bodies.push(answer.into_body().collect());
    }
    for body in join_all(bodies).await {
        body.unwrap();
    }
}

fn transport() -> HyperTransport {
    HyperTransport::new(&TransportConfig::default().allow_private()).unwrap()
}

/// What the host speaks, and where it is.
fn told() -> (String, String) {
    let host = std::env::var(HOST).unwrap();
    let (spoken, url) = host.split_once(' ').unwrap();
    (spoken.to_owned(), url.to_owned())
}

fn get(path: &str) -> Request<Bytes> {
    let url = told().1.replace("/v1", path);
    Request::get(url).body(Bytes::new()).unwrap()
}

/// One call, then twice eight at a time.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn client() {
    let transport = transport();
    for at_a_time in [1, 8, 8] {
        ask(&transport, at_a_time).await;
    }
}

/// One call soon after the first, and one much later.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn patient_client() {
    let transport = transport();
    for after in [0, 60, 60, 120] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(after)).await;
        tokio::time::resume();
        ask(&transport, 1).await;
    }
}

/// Each call over a connection that ends with it.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn left_client() {
    let transport = transport();
    for _ in 0..3 {
        let answer = transport.clone().oneshot(get("/last")).await.unwrap();
        answer.into_body().collect().await.unwrap();
        // Until the end of the connection has been read.
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
    }
}

/// Calls beside an answer of a mebibyte that is not read.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn unread_client() {
    let transport = transport();
    let unread = transport.clone().oneshot(get("/long")).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = tokio::time::timeout(Duration::from_secs(10), ask(&transport, 1));
        asked.await.expect("there is room for its answer");
    }
    let read = unread.into_body().collect().await.unwrap().to_bytes();
    assert!(read.len() > 1 << 20);
}

/// So many calls at a time.
async fn ask(transport: &HyperTransport, at_a_time: usize) {
    let (spoken, _) = told();
    let calls = (0..at_a_time).map(|_| transport.clone().oneshot(get("/v1")));
    for answer in join_all(calls).await {
        let body = answer.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), spoken);
    }
}
