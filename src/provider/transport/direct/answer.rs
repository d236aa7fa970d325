//! One call over one connection.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::TrySendError};

use super::{
    super::{
        TransportBody,
        error::{Stage, translate},
    },
    driven::Driven,
    pool::{Host, Way},
    shared::Shared,
};
use crate::error::Error;

/// Sends `request` over a connection that waits, or else over a new one.
///
/// A connection may be closed by the other side at any moment. If the host has done nothing about the request, another one is taken;
/// if it only had no room for it, once.
pub(super) async fn ask(
    host: Arc<Host>,
    request: Request<Bytes>,
) -> Result<Response<TransportBody<AnswerBody>>, Error> {
    let mut request = request.map(Full::new);
    // Absolute. What a request says of it depends on the protocol.
    let uri = std::mem::take(request.uri_mut());
    let mut was_refused = false;
    loop {
        let (way, is_new) = match host.open() {
            Some(way) => (way, false),
            None => (host.connect(uri.clone()).await?, true),
        };
        let (answer, connection) = match way {
            Way::Http1(mut driven) => {
                host.address(&mut request, &uri);
                let answer = driven.send(request).await;
                (answer, Connection::Driven(driven, Arc::clone(&host)))
            }
            Way::Http2(mut shared) => {
                *request.uri_mut() = uri.clone();
                let answer = shared.send(request).await;
                (answer, Connection::Shared(shared))
            }
        };
        match answer {
            Ok(answer) => {
                return Ok(answer.map(|body| TransportBody::new(AnswerBody::new(body, connection))));
            }
            Err(Unanswered { error, progress }) => match progress {
                Progress::Unsent(again) if !is_new => request = again,
                Progress::Refused(again) if !was_refused => {
                    was_refused = true;
                    request = again;
                }
                Progress::Unsent(_) | Progress::Refused(_) => {
                    return Err(translate(error, Stage::Connecting));
                }
                Progress::Begun => return Err(translate(error, Stage::Connected)),
            },
        }
    }
}

/// Why there is no answer.
pub(super) struct Unanswered {
    pub(super) error: hyper::Error,
    pub(super) progress: Progress,
}

/// What the host may have done about a request that it has not answered.
pub(super) enum Progress {
    /// Nothing: it had not heard of it when the connection ended, or says so as it leaves.
    Unsent(Request<Full<Bytes>>),
    /// Nothing: it had no room for it just then.
    Refused(Request<Full<Bytes>>),
    /// Anything.
    Begun,
}

impl From<TrySendError<Request<Full<Bytes>>>> for Unanswered {
    fn from(mut failed: TrySendError<Request<Full<Bytes>>>) -> Self {
        let unsent = failed.take_message();
        Self {
            progress: unsent.map_or(Progress::Begun, Progress::Unsent),
            error: failed.into_error(),
        }
    }
}

/// The body of an answer. Its end frees the connection for the next call.
pub struct AnswerBody {
    /// `None` when nobody reads any more.
    incoming: Option<Incoming>,
    connection: Option<Connection>,
}

enum Connection {
    Driven(Box<Driven>, Arc<Host>),
    Shared(#[expect(dead_code, reason = "counts as a call while it is held")] Shared),
}

impl AnswerBody {
    fn new(incoming: Incoming, connection: Connection) -> Self {
        Self {
            incoming: Some(incoming),
            connection: Some(connection),
        }
    }

    /// Lets go of the connection. One whose answer has not come whole closes, unless the rest is there already.
    fn release(&mut self) {
        self.incoming = None;
        if let Some(Connection::Driven(driven, host)) = self.connection.take() {
            host.keep(driven);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let frame = match &mut this.connection {
            Some(Connection::Driven(driven, _)) => {
                driven.poll(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx))
            }
            _ => Pin::new(incoming).poll_frame(cx),
        };
        if let Poll::Ready(None | Some(Err(_))) = frame {
            this.release();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}
