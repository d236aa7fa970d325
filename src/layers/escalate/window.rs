use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::{Evidence, Judgement, OnStream, partial::Partial};
use crate::{
    error::Error,
    model::{Collected, End, Frame, ModelBody, chat::Answer},
};

/// How much of a stream is held back before it is let go.
pub(super) struct Window {
    time: Option<Duration>,
    chunks: usize,
    bytes: usize,
    glimpse: bool,
}

/// What became of a held stream.
pub(super) enum Held {
    /// It ended within the window.
    Complete(Collected),
    /// It outgrew the window: the body gives what was held, then the rest as it comes.
    Committed(ModelBody),
    /// Its beginning is evidence enough. The body is still open, in case no better answer can be had.
    Rejected(ModelBody, Answer, Vec<Evidence>),
}

impl Window {
    /// The window for `mode`, never more than `limit` bytes; `None` if nothing is to be held.
    pub(super) fn of(mode: OnStream, limit: usize) -> Option<Self> {
        match mode {
            OnStream::Pass => None,
            OnStream::Buffer => Some(Self {
                time: None,
                chunks: usize::MAX,
                bytes: limit,
                glimpse: false,
            }),
            OnStream::Probe {
                max_time,
                max_chunks,
                max_bytes,
            } => Some(Self {
                time: Some(max_time),
                chunks: max_chunks,
                bytes: max_bytes.min(limit),
                glimpse: true,
            }),
        }
    }

    /// Holds `body` until it ends, fills the window, or shows evidence.
    ///
    /// # Errors
    /// The stream's own: nobody has seen any of it, so somebody else may still answer.
    pub(super) async fn hold(
        &self,
        mut body: ModelBody,
        glimpse: impl Fn(&Answer) -> Judgement,
    ) -> Result<Held, Error> {
        let until = self.time.map(|time| Instant::now() + time);
        let mut held = Vec::new();
        let mut size = 0;
        let mut partial = Partial::default();
        while held.len() < self.chunks && size < self.bytes {
            let next = match until {
                Some(until) => match timeout_at(until, body.next()).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
                None => body.next().await,
            };
            match next.transpose()? {
                Some(Frame::Data(data)) => {
                    size += data.len();
                    held.push(data);
                }
                Some(Frame::End(end)) => return Ok(Held::Complete(stream_of(held, end))),
                None => return Err(Error::internal("an answer was read twice")),
            }
            if let (true, Some(data)) = (self.glimpse, held.last()) {
                let evidence = glimpse(partial.add(data)).into_evidence();
                if !evidence.is_empty() {
                    let answer = partial.into_answer();
                    return Ok(Held::Rejected(resumed(held, body), answer, evidence));
                }
            }
        }
        Ok(Held::Committed(resumed(held, body)))
    }
}

fn stream_of(data: Vec<Bytes>, end: End) -> Collected {
    Collected {
        whole: false,
        data,
        end,
    }
}

fn resumed(held: Vec<Bytes>, rest: ModelBody) -> ModelBody {
    ModelBody::stream(stream::iter(held.into_iter().map(|data| Ok(Frame::Data(data)))).chain(rest))
}
