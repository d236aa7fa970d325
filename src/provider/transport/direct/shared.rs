//! An HTTP/2 connection that many calls share.

use std::{
    error::Error as StdError,
    future::poll_fn,
    iter::successors,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2, rt::Executor};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{
    answer::{Progress, Unanswered},
    connect::Io,
};

/// The most calls that a connection carries at a time, where its host allows as many. Hosts are advised to allow no fewer
/// ([RFC 9113, 6.5.2](https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2)).
const CALLS: usize = 100;

/// How many bytes of an answer a host may send ahead of its reader. A connection takes as many for each of its calls: one whose
/// answer nobody reads leaves the others theirs.
const AHEAD: u32 = 256 * 1024;

/// A connection that a task drives. Whoever holds a clone has a call on it, but for the pool.
#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    holders: Arc<()>,
    /// The most calls at a time that the host allows.
    allowed: Arc<AtomicUsize>,
}

impl Shared {
    pub(super) async fn handshake(io: Io) -> hyper::Result<Self> {
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(AHEAD)
            .initial_connection_window_size(AHEAD * CALLS as u32)
            .keep_alive_interval(Duration::from_secs(20))
            .handshake(io)
            .await?;
        let allowed = Arc::new(AtomicUsize::new(CALLS));
        let told = Arc::clone(&allowed);
        let driving = poll_fn(move |cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            told.store(connection.current_max_send_streams(), Ordering::Relaxed);
            // Whoever waits for an answer hears of its end.
            polled.map(drop)
        });
        TokioExecutor::new().execute(driving);
        Ok(Self {
            sender,
            holders: Arc::new(()),
            allowed,
        })
    }

    /// Whether it carries no further call, ever.
    pub(super) fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether another call would wait for one of these to end.
    pub(super) fn is_full(&self) -> bool {
        let allowed = self.allowed.load(Ordering::Relaxed);
        // One holder is the pool.
        Arc::strong_count(&self.holders) > allowed.clamp(1, CALLS)
    }

    /// Sends `request` and reads the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let copy = request.clone();
        let answer = self.sender.try_send_request(request).await;
        answer.map_err(|failed| {
            let mut unanswered = Unanswered::from(failed);
            if let Some(progress) = refusal(&unanswered.error, copy) {
                unanswered.progress = progress;
            }
            unanswered
        })
    }
}

/// How far `request` came, if the host says that it does nothing about it. One that leaves answers the requests before, which hear
/// nothing of this, and no others.
///
/// What hyper still holds back when a host leaves is not told from what it has sent, and counts as begun.
fn refusal(error: &hyper::Error, request: Request<Full<Bytes>>) -> Option<Progress> {
    let first: &(dyn StdError + 'static) = error;
    let error = successors(Some(first), |&error| error.source())
        .find_map(|error| error.downcast_ref::<h2::Error>())?;
    match error.reason() {
        _ if !error.is_remote() => None,
        _ if error.is_go_away() => Some(Progress::Unsent(request)),
        Some(Reason::REFUSED_STREAM) => Some(Progress::Refused(request)),
        _ => None,
    }
}
