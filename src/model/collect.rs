use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::{End, Frame, ModelBody, chat};
use crate::error::{Error, ErrorKind};

/// A complete answer in memory.
#[derive(Debug, Clone)]
pub struct Collected {
    /// Whether it came in one piece; else each payload is one chunk of a stream.
    pub whole: bool,
    /// The payloads in order.
    pub data: Vec<Bytes>,
    /// How it ended.
    pub end: End,
}

impl ModelBody {
    /// Reads the answer to its end, at most `limit` bytes.
    ///
    /// # Errors
    /// The answer's own, or [`ErrorKind::Upstream`] when it is larger than `limit`.
    pub async fn collect(mut self, limit: usize) -> Result<Collected, Error> {
        let whole = self.is_whole();
        let mut data = Vec::new();
        let mut size = 0;
        while let Some(frame) = self.next().await {
            match frame? {
                Frame::Data(bytes) => {
                    size += bytes.len();
                    if size > limit {
                        return Err(Error::new(
                            ErrorKind::Upstream,
                            format!("the answer is larger than {limit} bytes"),
                        )
                        .conclusive());
                    }
                    data.push(bytes);
                }
                Frame::End(end) => return Ok(Collected { whole, data, end }),
            }
        }
        Err(Error::internal("an answer was read twice"))
    }
}

impl Collected {
    /// The whole answer as one JSON document; a stream of chat chunks is assembled.
    ///
    /// # Errors
    /// [`ErrorKind::Upstream`] if the chunks are not chat chunks.
    pub fn to_whole(&self) -> Result<Bytes, Error> {
        match (self.whole, &self.data[..]) {
            (true, [one]) => Ok(one.clone()),
            _ => chat::assemble(&self.data, self.end.usage_chunk.as_ref()),
        }
    }

    /// The same answer in the form that was asked for: `whole` as one document, else as chunks.
    ///
    /// # Errors
    /// [`ErrorKind::Upstream`] if the answer is no chat and must change its form.
    pub fn into_form(self, whole: bool) -> Result<Self, Error> {
        if self.whole == whole {
            return Ok(self);
        }
        if whole {
            let data = vec![self.to_whole()?];
            let end = End {
                usage_chunk: None,
                ..self.end
            };
            return Ok(Self { whole, data, end });
        }
        let (data, usage_chunk) = chat::split(&self.to_whole()?)?;
        let end = End {
            usage_chunk,
            ..self.end
        };
        Ok(Self { whole, data, end })
    }

    /// The same answer in memory of its own. Payloads are slices of what a connection read, and a slice keeps all of it alive.
    #[must_use]
    pub fn compact(mut self) -> Self {
        let parts = self.data.iter_mut().chain(&mut self.end.usage_chunk);
        let mut all = BytesMut::with_capacity(parts.map(|part| part.len()).sum());
        for part in self.data.iter_mut().chain(&mut self.end.usage_chunk) {
            all.extend_from_slice(part);
        }
        let mut all = all.freeze();
        for part in self.data.iter_mut().chain(&mut self.end.usage_chunk) {
            *part = all.split_to(part.len());
        }
        self
    }

    /// Roughly the memory it takes, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let payloads = self.data.iter().chain(&self.end.usage_chunk);
        payloads.map(|p| p.len() + size_of::<Bytes>()).sum()
    }

    /// A body that gives this answer again.
    #[must_use]
    pub fn into_body(self) -> ModelBody {
        let Self {
            whole,
            mut data,
            end,
        } = self;
        if whole && data.len() == 1 {
            return ModelBody::whole(data.swap_remove(0), end);
        }
        let frames = data.into_iter().map(Frame::Data).chain([Frame::End(end)]);
        ModelBody::stream(futures_util::stream::iter(frames.map(Ok)))
    }
}
