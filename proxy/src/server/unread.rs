//! Answers whose readers have left without going away.
//!
//! Nothing asks for more of an answer while its client leaves unread what it was sent, so none of the limits inside the rings ends
//! it, and what it holds is held: permits, reserved money, a connection to a provider. On HTTP/1 the operating system ends the
//! connection; on HTTP/2 a client may read its connection, but not one of its streams, and only the gateway sees that.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http::Response;
use hyper::body::{Frame, SizeHint};
use rungs::Error;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::activity::UnderWay;

/// How long a client may leave unread what it was sent.
pub(super) const UNREAD: Duration = Duration::from_secs(300);

/// An answer that is given up when it is left unread, and is under way until then; one that is there in full holds nothing, and stays
/// as it is.
pub(super) fn watched(answer: Response<Body>, under_way: UnderWay) -> Response<Body> {
    match answer.body().size_hint().exact() {
        None => answer.map(|body| Body::new(Watched::new(body, under_way))),
        Some(_) => answer,
    }
}

/// A body that is given up when nobody has asked for more of it in [`UNREAD`].
struct Watched {
    kept: Arc<Mutex<Kept>>,
    _watch: AbortOnDropHandle<()>,
}

struct Kept {
    /// Until it is given up.
    body: Option<(Body, UnderWay)>,
    /// Since when something of it has been out and nobody has asked for more; a reader that waits for more is none that has left.
    left: Option<Instant>,
}

impl Watched {
    fn new(body: Body, under_way: UnderWay) -> Self {
        let kept = Arc::new(Mutex::new(Kept {
            body: Some((body, under_way)),
            left: Some(Instant::now()),
        }));
        let watch = Handle::current().spawn(watch(Arc::downgrade(&kept)));
        Self {
            kept,
            _watch: AbortOnDropHandle::new(watch),
        }
    }
}

/// Weak, because a body that is dropped must be gone at once.
async fn watch(kept: Weak<Mutex<Kept>>) {
    let mut due = Instant::now() + UNREAD;
    loop {
        sleep_until(due).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        due = kept.left.unwrap_or(now) + UNREAD;
        if due <= now {
            let given_up = kept.body.take();
            drop(kept);
            drop(given_up);
            tracing::info!("an answer is given up: its client does not read it");
            return;
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.left = None;
        let Some((body, _)) = &mut kept.body else {
            let error = Error::internal("the answer was left unread for too long");
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        kept.left = Some(Instant::now());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let body = kept.body.as_ref().map(|(body, _)| body);
        body.is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http::{Request, Version};
    use hyper::{body::Incoming, client, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
    use tokio::{io::duplex, time::sleep};

    use super::*;
    use crate::server::activity::Activity;

    /// More than a client lets through that does not read.
    const CHUNK: &[u8] = &[b'x'; 1000];

    /// Answers of one chunk every `pace`, without an end, over HTTP/2. The answer holds `held`.
    async fn answered(pace: Duration, held: Arc<()>) -> Incoming {
        let (near, far) = duplex(1 << 16);
        let service = service_fn(move |_: Request<Incoming>| {
            let chunks = stream::unfold(Arc::clone(&held), move |held| async move {
                sleep(pace).await;
                Some((Ok::<_, axum::Error>(Bytes::from_static(CHUNK)), held))
            });
            let under_way = Activity::default().begins(Version::HTTP_2).unwrap();
            let answer = watched(Response::new(Body::from_stream(chunks)), under_way);
            async { Ok::<_, axum::Error>(answer) }
        });
        let serving =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(far), service);
        Handle::current().spawn(serving);
        let (mut sender, connection) = client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(1000)
            .handshake::<_, Body>(TokioIo::new(near))
            .await
            .unwrap();
        Handle::current().spawn(connection);
        let answer = sender.send_request(Request::new(Body::empty())).await;
        Handle::current().spawn(async move {
            sleep(UNREAD * 100).await;
            drop(sender);
        });
        answer.unwrap().into_body()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_its_client_leaves_unread_is_given_up() {
        let held = Arc::new(());
        let answer = answered(Duration::from_millis(1), Arc::clone(&held)).await;
        sleep(UNREAD - Duration::from_secs(1)).await;
        assert!(Arc::strong_count(&held) > 2, "given up too early");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(Arc::strong_count(&held), 2, "still held");
        let rest = Body::new(answer).into_data_stream();
        let is_cut = rest.any(async |chunk| chunk.is_err());
        assert!(is_cut.await, "an end that is none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_a_slow_stream_has_not_left() {
        let held = Arc::new(());
        let mut answer = answered(UNREAD * 3, Arc::clone(&held)).await;
        for _ in 0..4 {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await;
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), CHUNK);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_client_goes_is_gone_at_once() {
        let held = Arc::new(());
        let answer = answered(Duration::from_millis(1), Arc::clone(&held)).await;
        drop(answer);
        sleep(Duration::from_millis(5)).await;
        assert_eq!(Arc::strong_count(&held), 2, "still held");
    }
}
