//! An HTTP/2 connection that many calls share.

use std::{error::Error as StdError, iter::successors, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2, rt::Executor};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{answer::Unanswered, connect::Io};

/// How many calls a connection carries at a time. Hosts are advised to allow no fewer
/// ([RFC 9113, 6.5.2](https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2)); one that is not allowed would wait for another's end.
const CALLS: usize = 100;

/// A connection that a task drives. Whoever holds a clone has a call on it, but for the pool.
#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    holders: Arc<()>,
}

impl Shared {
    pub(super) async fn handshake(io: Io) -> hyper::Result<Self> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .keep_alive_interval(Duration::from_secs(20))
            .handshake(io)
            .await?;
        // Whoever waits for an answer hears of its end.
        TokioExecutor::new().execute(async move { drop(connection.await) });
        Ok(Self {
            sender,
            holders: Arc::new(()),
        })
    }

    /// Whether it carries no further call, ever.
    pub(super) fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it may carry one more now.
    pub(super) fn has_room(&self) -> bool {
        !self.is_full() && !self.is_over()
    }

    pub(super) fn is_full(&self) -> bool {
        // One holder is the pool.
        Arc::strong_count(&self.holders) > CALLS
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.holders, &other.holders)
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
            if is_refusal(&unanswered.error) {
                unanswered.request.get_or_insert(copy);
            }
            unanswered
        })
    }
}

/// Whether the host has said that it did nothing about a request: it is full, or leaves and had not yet begun with this one.
fn is_refusal(error: &hyper::Error) -> bool {
    let first: &(dyn StdError + 'static) = error;
    successors(Some(first), |&error| error.source())
        .find_map(|error| error.downcast_ref::<h2::Error>())
        .is_some_and(|error| {
            // Requests that a host still answers when it leaves hear nothing of that.
            error.is_remote()
                && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
        })
}
