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
use hyper::body::Incoming;

use super::{
    super::{
        TransportBody,
        error::{Stage, translate},
    },
    driven::Driven,
    pool::{Host, Way},
};
use crate::error::Error;

/// Sends `request` over a connection that waits, or else over a new one.
///
/// A connection may be closed by the other side at any moment. If nothing of the request was sent over it, another one is taken.
pub(super) async fn ask(
    host: Arc<Host>,
    request: Request<Bytes>,
) -> Result<Response<TransportBody<AnswerBody>>, Error> {
    let mut request = request.map(Full::new);
    // Absolute. What a request says of it depends on the protocol.
    let uri = std::mem::take(request.uri_mut());
    loop {
        let (way, is_new) = match host.open() {
            Some(way) => (way, false),
            None => {
                let way = host.connect(uri.clone()).await;
                (way.map_err(|e| translate(e, Stage::Connecting))?, true)
            }
        };
        let answer = match way {
            Way::Http1(mut driven) => {
                host.address(&mut request, &uri);
                let answer = driven.send(request).await;
                answer.map(|answer| answer.map(|body| AnswerBody::driven(body, driven, &host)))
            }
            Way::Http2(mut shared) => {
                *request.uri_mut() = uri.clone();
                let answer = shared.try_send_request(request).await;
                answer.map(|answer| answer.map(AnswerBody::shared))
            }
        };
        match answer {
            Ok(answer) => return Ok(answer.map(TransportBody::new)),
            Err(mut failed) => match failed.take_message() {
                Some(unsent) if !is_new => request = unsent,
                // The host hung up before it heard anything.
                Some(_) => return Err(translate(failed.into_error(), Stage::Connecting)),
                None => return Err(translate(failed.into_error(), Stage::Connected)),
            },
        }
    }
}

/// The body of an answer. Its end frees the connection for the next call.
pub struct AnswerBody {
    /// `None` when nobody reads any more.
    incoming: Option<Incoming>,
    connection: Option<(Box<Driven>, Arc<Host>)>,
}

impl AnswerBody {
    fn driven(incoming: Incoming, driven: Box<Driven>, host: &Arc<Host>) -> Self {
        Self {
            incoming: Some(incoming),
            connection: Some((driven, Arc::clone(host))),
        }
    }

    fn shared(incoming: Incoming) -> Self {
        Self {
            incoming: Some(incoming),
            connection: None,
        }
    }

    /// Lets go of the connection. One whose answer has not come whole closes, unless the rest is there already.
    fn release(&mut self) {
        self.incoming = None;
        if let Some((driven, host)) = self.connection.take() {
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
            Some((driven, _)) => driven.poll(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx)),
            None => Pin::new(incoming).poll_frame(cx),
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
