use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::Body;
use pin_project::pin_project;

use super::{
    Decode,
    target::{Target, broken},
};
use crate::{
    error::{BoxError, Error},
    model::Frame,
};

/// The frames of a streamed body. Its reader, [`ModelBody`](crate::model::ModelBody), drops it with the end or the first error,
/// and so frees the connection.
#[pin_project]
pub(super) struct Frames<B> {
    #[pin]
    body: Option<B>,
    decode: Box<dyn Decode>,
    target: Arc<Target>,
}

impl<B> Frames<B> {
    pub(super) fn new(body: B, decode: Box<dyn Decode>, target: Arc<Target>) -> Self {
        Self {
            body: Some(body),
            decode,
            target,
        }
    }
}

impl<B> Stream for Frames<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Item = Result<Frame, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let frame = loop {
            let Some(body) = this.body.as_mut().as_pin_mut() else {
                break this.decode.finish();
            };
            if let Some(frame) = this.decode.next_frame().transpose() {
                break frame;
            }
            match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        this.decode.push(chunk);
                    }
                }
                Some(Err(error)) => break Err(broken(error)),
                None => this.body.set(None),
            }
        };
        Poll::Ready(Some(frame.map_err(|error| this.target.blame(error))))
    }
}
