use std::{convert::Infallible, iter::once};

use axum::body::{Body, Bytes, to_bytes};
use futures_util::{StreamExt, stream};
use hyper::{client::conn::http2, service::service_fn};
use hyper_util::rt::TokioExecutor;
use tokio::{
    io::duplex,
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// How long after the answer to `path` a connection of HTTP/2 is closed that asks for nothing else. The answer to `/slow` is a stream,
/// and takes ten times our patience.
async fn closed_after(path: &'static str) -> Duration {
    let (near, far) = duplex(1 << 16);
    let service = service_fn(|request: Request<Incoming>| async move {
        let body = match request.uri().path() {
            "/slow" => Body::from_stream(stream::iter(0..10).then(async |_| {
                sleep(PATIENCE).await;
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
    let serving = Handle::current().spawn(serving);
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
    let ended = timeout(PATIENCE * 10, serving).await;
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
            waited >= PATIENCE && waited <= PATIENCE * 3,
            "{path}: {waited:?}"
        );
    }
}
