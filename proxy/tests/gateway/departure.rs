//! R10 and R11: clients that leave.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rungs::{
    Error, ErrorKind,
    catalog::{Deployment, Price},
    testing::{Reply, Scripted, Upstream},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::support::*;

/// A provider that says `words` and then nothing, and reports when its connection is closed.
async fn silent_after(words: &'static str) -> (Wire, mpsc::Receiver<Instant>) {
    let (closed, closings) = mpsc::channel(16);
    let wire = Wire::play(move |_, mut socket| {
        let closed = closed.clone();
        async move {
            let _ = socket.write_all(words.as_bytes()).await;
            let mut rest = [0; 64];
            while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            let _ = closed.send(Instant::now()).await;
        }
    })
    .await;
    (wire, closings)
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const FIRST: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"one two three four five six seven eight \"}}]}\n\n";

/// Leaves five times; how long it took each time until the provider saw it.
async fn leave(
    gateway: &Gateway,
    body: &Value,
    closings: &mut mpsc::Receiver<Instant>,
    wire: &Wire,
    read_first: bool,
) -> Duration {
    let mut delays = Vec::new();
    for _ in 0..5 {
        let before = wire.heard().len();
        let request = gateway.post("/v1/chat/completions", body.to_string());
        let left = if read_first {
            let mut response = request.send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(response.chunk().await.unwrap().is_some());
            let now = Instant::now();
            drop(response);
            now
        } else {
            let asking = tokio::spawn(request.send());
            until("the request at the provider", || {
                wire.heard().len() > before
            })
            .await;
            tokio::time::sleep(Duration::from_millis(30)).await;
            let now = Instant::now();
            asking.abort();
            now
        };
        let closed = tokio::time::timeout(Duration::from_secs(5), closings.recv()).await;
        delays.push(
            closed
                .expect("the provider's connection stays open")
                .unwrap()
                - left,
        );
    }
    delays.sort();
    delays[2]
}

#[tokio::test]
async fn r10_the_provider_sees_within_200_ms_that_the_client_has_left() {
    let cases = [
        ("whole", "", false, false),
        ("before the head of a stream", "", true, false),
        ("before the first token", HEAD, true, false),
        ("within a stream", FIRST, true, true),
    ];
    for (case, words, stream, read_first, http2) in cases
        .iter()
        .flat_map(|&(a, b, c, d)| [(a, b, c, d, false), (a, b, c, d, true)])
    {
        let (wire, mut closings) = silent_after(words).await;
        // Passed at once: a stream's first words are held back otherwise, for somebody to judge them.
        let config = format!(
            "[routing]\non_stream = \"pass\"\n{}{}",
            provider("p", &wire.base_url),
            free("m", "p", "L0")
        );
        let mut gateway = Gateway::serve(&config);
        if http2 {
            gateway = gateway.over_http2();
        }
        let body = if stream {
            chat_stream("m", "q")
        } else {
            chat("m", "q")
        };
        let delay = leave(&gateway, &body, &mut closings, &wire, read_first).await;
        assert!(
            delay <= Duration::from_millis(200),
            "{case}, http2 {http2}: {delay:?}"
        );
        let rows = gateway.rows_after(5).await;
        assert_eq!(rows.len(), 5, "{case}");
        assert!(
            rows.iter().all(|(status, _)| status == "cancelled"),
            "{case}: {rows:?}"
        );
    }
}

#[tokio::test]
async fn r10_where_it_is_wanted_the_rest_is_read_and_charged_exactly() {
    let reply = Reply::text("one two three four").gap(Duration::from_millis(60));
    let model = scripted("m", reply);
    let upstream = Upstream::serve([model.clone()]).await.unwrap();
    let config = format!(
        "{}on_disconnect = \"drain\"\n{}",
        provider("p", &upstream.base_url()),
        free("m", "p", "L0")
    );
    let gateway = Gateway::serve(&config);
    drop(gateway.begun("m").await);
    let rows = gateway.rows_after(1).await;
    assert_eq!(rows[0].0, "ok", "{rows:?}");
    assert_eq!((model.calls(), model.cut()), (1, 0));
}

#[tokio::test]
async fn r11_after_300_aborts_and_errors_every_permit_is_back() {
    let moods = Arc::new(Mutex::new(fastrand::Rng::with_seed(11)));
    let provider_model = Scripted::by(
        Deployment::new("scripted", "m").price(Price::FREE),
        move |_| {
            let mut rng = moods.lock().unwrap();
            let paced = Reply::text("one two three four").gap(Duration::from_millis(rng.u64(0..8)));
            match rng.u8(0..6) {
                0 => Reply::error(Error::new(ErrorKind::Upstream, "broken")),
                1 => Reply::error(Error::new(ErrorKind::RateLimited, "later"))
                    .after(Duration::from_millis(rng.u64(0..10))),
                2 => Reply::hang(),
                3 => paced.after(Duration::from_millis(rng.u64(0..20))),
                4 => paced.stop_after(rng.usize(0..4)),
                _ => paced,
            }
        },
    );
    let upstream = Upstream::serve([
        provider_model.clone(),
        scripted("calm", Reply::text("here")),
    ])
    .await
    .unwrap();
    let limits = "[limits]\nmax_in_flight = 4\n[cache]\nenabled = false\n";
    let config = format!(
        "{limits}{NO_RETRY}{}max_in_flight = 4\n{}{}",
        provider("p", &upstream.base_url()),
        free("m", "p", "L0"),
        free("calm", "p", "L0")
    );
    let gateway = Arc::new(Gateway::serve(&config));
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(worker);
                for _ in 0..75 {
                    let body = if rng.bool() {
                        chat("m", "q")
                    } else {
                        chat_stream("m", "q")
                    };
                    let patience = Duration::from_millis(rng.u64(1..40));
                    let call = async { gateway.ask(&body).await };
                    let _ = tokio::time::timeout(patience, call).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    until("the last answers to be given up", || {
        provider_model.open() == 0
    })
    .await;
    assert!(provider_model.calls() > 100, "{}", provider_model.calls());
    // Four at once: all four permits are back, at the call ring and at the provider.
    let mut streams = Vec::new();
    for _ in 0..4 {
        let response = gateway
            .post("/v1/chat/completions", chat_stream("calm", "q").to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        streams.push(response);
    }
    for stream in streams {
        assert!(
            Answer::read(stream)
                .await
                .text
                .ends_with("data: [DONE]\n\n")
        );
    }
}
