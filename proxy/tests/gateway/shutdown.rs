//! R18, as far as one process goes: what runs may finish, and everything is written down.

use std::time::{Duration, Instant};

use rungs::testing::{Reply, Upstream};
use tokio::net::TcpStream;

use crate::support::*;

async fn paced(drain: &str) -> (rungs::testing::Scripted, Upstream, Gateway) {
    let provider_model = scripted(
        "m",
        Reply::text("one two three four five six seven eight nine ten")
            .gap(Duration::from_millis(100)),
    );
    let upstream = Upstream::serve([provider_model.clone()]).await.unwrap();
    let settings =
        format!("server = {{ drain_seconds = {drain} }}\nrouting = {{ on_stream = \"pass\" }}\n");
    let gateway = Gateway::serve(&format!(
        "{settings}{}{}",
        provider("p", &upstream.base_url()),
        free("m", "p", "L0")
    ));
    (provider_model, upstream, gateway)
}

#[tokio::test]
async fn r18_a_running_stream_finishes_after_sigterm() {
    let (provider_model, _upstream, mut gateway) = paced("30").await;
    // An idle connection does not keep the process.
    let _idle = TcpStream::connect(gateway.address()).await.unwrap();
    gateway.get("/live").await;
    let mut stream = gateway
        .post("/v1/chat/completions", chat_stream("m", "q").to_string())
        .send()
        .await
        .unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    gateway.signal("TERM");
    gateway.logs("running answers may finish").await;
    assert_eq!(provider_model.open(), 1, "the stream should still run");
    assert!(
        TcpStream::connect(gateway.address()).await.is_err(),
        "no new work is taken"
    );
    let rest = Answer::read(stream).await;
    assert!(
        rest.text.contains("ten") && rest.text.ends_with("data: [DONE]\n\n"),
        "{rest:?}"
    );
    assert!(gateway.ended().await.success());
    assert_eq!(gateway.rows().await, [("ok".to_owned(), 0)]);
    assert_eq!(provider_model.cut(), 0);
}

#[tokio::test]
async fn r18_what_does_not_finish_in_time_is_cut_and_written_down() {
    for http2 in [false, true] {
        let (provider_model, _upstream, mut gateway) = paced("0.2").await;
        if http2 {
            gateway = gateway.over_http2();
        }
        let mut stream = gateway
            .post("/v1/chat/completions", chat_stream("m", "q").to_string())
            .send()
            .await
            .unwrap();
        assert!(stream.chunk().await.unwrap().is_some());
        let start = Instant::now();
        assert!(gateway.stop().await.success());
        assert!(
            start.elapsed() < Duration::from_millis(900),
            "{:?}",
            start.elapsed()
        );
        until("the provider to see it", || provider_model.open() == 0).await;
        assert_eq!(gateway.rows().await.len(), 1, "{}", gateway.log());
    }
}
