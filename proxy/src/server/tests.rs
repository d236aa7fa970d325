use std::{convert::Infallible, iter::once};

use axum::body::{Body, Bytes, to_bytes};
use futures_util::{StreamExt, stream};
use hyper::{client::conn::http2, service::service_fn};
use hyper_util::rt::TokioExecutor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;

const PATIENCE: Patience = Patience {
    first: Duration::from_secs(2),
    between: Duration::from_secs(10),
};

/// Serves a connection, and tells when it has ended. The answer to `/slow` is a stream, and takes ten times our patience.
fn serve() -> (DuplexStream, JoinHandle<()>) {
    let (near, far) = duplex(1 << 16);
    let service = service_fn(|request: Request<Incoming>| async move {
        let body = match request.uri().path() {
            "/slow" => Body::from_stream(stream::iter(0..10).then(async |_| {
                sleep(PATIENCE.between).await;
                Ok::<_, Infallible>(Bytes::from_static(b"slow"))
            })),
            path => Body::from(path.to_owned()),
        };
        Ok::<_, Infallible>(Response::new(body))
    });
    let serving = async move {
        let protocol = protocol(PATIENCE, Cores::new(once(Handle::current())));
        attend(far, service, &protocol, PATIENCE, &CancellationToken::new()).await;
    };
    (near, Handle::current().spawn(serving))
}

/// How long after the answer to `path` a connection of HTTP/2 is closed that asks for nothing else.
async fn closed_after(path: &'static str) -> Duration {
    let (near, serving) = serve();
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .handshake::<_, Body>(TokioIo::new(near))
        .await
        .unwrap();
    Handle::current().spawn(connection);
    let request = Request::get(format!("http://gateway{path}")).body(Body::empty());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    let body = Body::new(answer.into_body());
    to_bytes(body, usize::MAX).await.expect("it is not cut");
    let began = Instant::now();
    let ended = timeout(PATIENCE.between * 10, serving).await;
    ended.expect("it is still open").unwrap();
    // The client would have kept it.
    drop(sender);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_nothing_under_way_any_more_is_closed() {
    for path in ["/live", "/slow"] {
        let waited = closed_after(path).await;
        assert!(
            waited >= PATIENCE.between && waited <= PATIENCE.between * 3,
            "{path}: {waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_take_longer_between_requests_than_for_its_first() {
    let (mut near, serving) = serve();
    let mut answer = [0; 1024];
    for _ in 0..3 {
        let request = "GET /live HTTP/1.1\r\nhost: gateway\r\n\r\n";
        near.write_all(request.as_bytes()).await.unwrap();
        let read = near.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK"));
        sleep(PATIENCE.between - PATIENCE.first / 2).await;
    }
    timeout(PATIENCE.between, serving)
        .await
        .expect("it is still open")
        .unwrap();

    let (mut near, serving) = serve();
    near.write_all(b"GET /live HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    timeout(PATIENCE.first * 2, serving)
        .await
        .expect("its first head is still waited for")
        .unwrap();
}
