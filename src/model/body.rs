use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use smallvec::SmallVec;

use super::{End, Frame, Outcome, Tap};
use crate::error::{Error, ErrorKind};

/// The body of an answer: a stream of [`Frame`]s, the same type for whole and streamed answers.
///
/// It owns the poll loop and its [`Tap`]s, and guarantees each of them exactly one outcome: complete, failed, or cut when
/// the reader goes away. A stream that stops without an [`End`] is an error of kind [`ErrorKind::Cut`].
pub struct ModelBody(Box<Inner>);

/// Behind a pointer, because every layer hands it on several times.
struct Inner {
    source: Source,
    taps: SmallVec<[Box<dyn Tap>; 6]>,
}

type BoxFrames = Pin<Box<dyn Stream<Item = Result<Frame, Error>> + Send>>;

enum Source {
    Whole(Bytes, End),
    /// The first frame was read ahead.
    Peeked(Frame, BoxFrames),
    Stream(BoxFrames),
    End(End),
    Done,
}

impl ModelBody {
    /// An answer that has arrived in one piece.
    #[must_use]
    pub fn whole(data: Bytes, end: End) -> Self {
        Self::from(Source::Whole(data, end))
    }

    /// An answer that arrives in frames; `frames` must finish with [`Frame::End`].
    pub fn stream(frames: impl Stream<Item = Result<Frame, Error>> + Send + 'static) -> Self {
        Self::from(Source::Stream(Box::pin(frames)))
    }

    fn from(source: Source) -> Self {
        let taps = SmallVec::new();
        Self(Box::new(Inner { source, taps }))
    }

    /// Lets `tap` watch. Taps run in the order they were added, so inner layers see an end before outer ones.
    #[must_use]
    pub fn tap(mut self, tap: impl Tap + 'static) -> Self {
        self.0.taps.push(Box::new(tap));
        self
    }

    /// Whether the answer has arrived in one piece.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.0.source, Source::Whole(..))
    }

    /// Waits for the first frame, so that a failure before it is an ordinary error that can be retried, routed or climbed over.
    ///
    /// # Errors
    /// The first frame's.
    pub async fn peek(mut self) -> Result<Self, Error> {
        if let Source::Stream(frames) = &mut self.0.source {
            let first = frames.next().await.unwrap_or_else(|| Err(no_end()));
            match first {
                Ok(first) => {
                    if let Source::Stream(frames) = self.0.take() {
                        self.0.source = Source::Peeked(first, frames);
                    }
                }
                Err(error) => {
                    self.0.source = Source::Done;
                    self.0.finish(Outcome::Failed(&error));
                    return Err(error);
                }
            }
        }
        Ok(self)
    }
}

impl Inner {
    fn take(&mut self) -> Source {
        std::mem::replace(&mut self.source, Source::Done)
    }

    fn finish(&mut self, outcome: Outcome<'_>) {
        for tap in self.taps.drain(..) {
            tap.on_end(outcome);
        }
    }

    fn deliver(&mut self, frame: Frame) -> Frame {
        match &frame {
            Frame::Data(data) => self.taps.iter_mut().for_each(|tap| tap.on_data(data)),
            Frame::End(end) => {
                self.source = Source::Done;
                self.finish(Outcome::Complete(end));
            }
        }
        frame
    }
}

fn no_end() -> Error {
    Error::new(
        ErrorKind::Cut,
        "the provider's stream stopped before its end",
    )
}

impl Stream for ModelBody {
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self.0;
        let frame = if let Source::Stream(frames) = &mut this.source {
            match ready!(frames.as_mut().poll_next(cx)) {
                Some(Ok(frame)) => frame,
                failed => {
                    let error = failed.and_then(Result::err).unwrap_or_else(no_end);
                    this.source = Source::Done;
                    this.finish(Outcome::Failed(&error));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        } else {
            match this.take() {
                Source::Whole(data, end) => {
                    this.source = Source::End(end);
                    Frame::Data(data)
                }
                Source::Peeked(first, frames) => {
                    this.source = Source::Stream(frames);
                    first
                }
                Source::End(end) => Frame::End(end),
                Source::Done | Source::Stream(_) => return Poll::Ready(None),
            }
        };
        Poll::Ready(Some(Ok(this.deliver(frame))))
    }
}

impl Drop for ModelBody {
    fn drop(&mut self) {
        let this = &mut *self.0;
        if this.taps.is_empty() {
            return;
        }
        // An answer that had arrived in full is complete, also when nobody came to read it.
        match this.take() {
            Source::Whole(data, end) => {
                this.deliver(Frame::Data(data));
                this.deliver(Frame::End(end));
            }
            Source::End(end) => {
                this.deliver(Frame::End(end));
            }
            source => {
                // The connection closes before anyone hears of it.
                drop(source);
                this.finish(Outcome::Cut);
            }
        }
    }
}

impl fmt::Debug for ModelBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelBody")
            .field("whole", &self.is_whole())
            .field("taps", &self.0.taps.len())
            .finish_non_exhaustive()
    }
}
