use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep};

use super::{
    envelope::error_value,
    facts::{last_words, with_facts},
};
use crate::{
    error::Error,
    model::{CallContext, Frame, ModelBody, ModelResponse, ResponseMeta},
    sse::{encode_comment, encode_data},
};

/// Frames of an answer as server-sent events, with pings while there is nothing to say.
pub(super) struct SseBody {
    source: Source,
    ctx: CallContext,
    meta: ResponseMeta,
    wants_usage: bool,
    ping: Option<Ping>,
}

pub(super) type Answering = BoxFuture<'static, Result<ModelResponse, Error>>;

enum Source {
    /// The call has not been answered yet, but the client must not wait for its headers any longer.
    Waiting(Answering),
    Body(ModelBody),
    Done,
}

/// What is ready is sent together, up to about this much.
const ENOUGH: usize = 16 * 1024;

impl SseBody {
    /// An answer that has begun.
    pub(super) fn new(
        response: ModelResponse,
        ctx: CallContext,
        wants_usage: bool,
        ping: Duration,
    ) -> Self {
        Self {
            source: Source::Body(response.body),
            ctx,
            meta: response.meta,
            wants_usage,
            ping: Ping::every(ping, ping),
        }
    }

    /// A call that the client has waited for long enough: it gets a ping at once, and whatever comes afterwards.
    pub(super) fn waiting(
        call: Answering,
        ctx: CallContext,
        wants_usage: bool,
        ping: Duration,
    ) -> Self {
        Self {
            source: Source::Waiting(call),
            ctx,
            meta: ResponseMeta::default(),
            wants_usage,
            ping: Ping::every(ping, Duration::ZERO),
        }
    }

    pub(super) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut out = BytesMut::new();
        while out.len() < ENOUGH {
            match self.poll_item(cx) {
                Poll::Ready(Some(Ok(Frame::Data(data)))) => encode_data(&mut out, &data),
                Poll::Ready(Some(Ok(Frame::End(end)))) => {
                    let facts = last_words(&self.ctx, &self.meta);
                    if let (true, Some(usage)) = (self.wants_usage, &end.usage_chunk) {
                        encode_data(&mut out, &with_facts(usage, &facts));
                    }
                    encode_comment(&mut out, &format!("rungs {facts}"));
                    encode_data(&mut out, b"[DONE]");
                    self.source = Source::Done;
                }
                Poll::Ready(Some(Err(error))) => {
                    let event = error_value(&error, &self.ctx.id).to_string();
                    encode_data(&mut out, event.as_bytes());
                    self.source = Source::Done;
                }
                Poll::Ready(None) => break,
                Poll::Pending if out.is_empty() => match self.ping.as_mut().map(|p| p.poll_due(cx))
                {
                    Some(Poll::Ready(())) => encode_comment(&mut out, "ping"),
                    _ => return Poll::Pending,
                },
                Poll::Pending => break,
            }
        }
        if out.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(ping) = &mut self.ping {
            ping.sent();
        }
        Poll::Ready(Some(out.freeze()))
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if let Source::Waiting(call) = &mut self.source {
            match call.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(response)) => {
                    self.meta = response.meta;
                    self.source = Source::Body(response.body);
                }
            }
        }
        match &mut self.source {
            Source::Body(body) => Pin::new(body).poll_next(cx),
            _ => Poll::Ready(None),
        }
    }
}

/// A timer that is armed once and looked at when it fires, so that frames do not have to re-arm it.
struct Ping {
    every: Duration,
    due: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Ping {
    fn every(every: Duration, first: Duration) -> Option<Self> {
        let due = Instant::now() + first;
        (!every.is_zero()).then_some(Self {
            every,
            due,
            timer: None,
        })
    }

    fn sent(&mut self) {
        self.due = Instant::now() + self.every;
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let due = self.due;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            match timer.as_mut().poll(cx) {
                Poll::Ready(()) if Instant::now() >= due => {
                    timer.as_mut().reset(due + self.every);
                    return Poll::Ready(());
                }
                Poll::Ready(()) => timer.as_mut().reset(due),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
