use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

use super::Endpoint;
use crate::{
    catalog::Deployment,
    error::Error,
    model::{End, Frame, ModelRequest},
};

/// A wire format: how a request is written, and how answers, streams and errors are read. Pure, without IO.
pub trait Dialect: Send + Sync + 'static {
    /// Writes `req` for deployment `d`. The request goes where `endpoint` says and nowhere else.
    ///
    /// # Errors
    /// What is wrong with the request, if the dialect cannot carry it; nobody was asked yet.
    fn request(
        &self,
        req: &ModelRequest,
        d: &Deployment,
        endpoint: &Endpoint,
    ) -> Result<Request<Bytes>, Error>;

    /// Reads a whole answer of a 2xx response, and how it ended.
    ///
    /// # Errors
    /// What the provider complains about, or [`ErrorKind::Upstream`](crate::ErrorKind::Upstream) if `body` is no answer.
    fn whole(&self, req: &ModelRequest, body: Bytes) -> Result<(Bytes, End), Error>;

    /// A decoder for one streamed answer to `req`, of which one event has at most `max_event` bytes.
    fn stream(&self, req: &ModelRequest, max_event: usize) -> Box<dyn Decode>;

    /// Reads the response of a request that failed. Only the first 64 KiB of `body` are given.
    ///
    /// The text may be passed on as it is: the service shortens and cleans it, and adds status, `Retry-After` and provider.
    fn error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error;
}

/// Turns the chunks of a streamed body into frames: [`push`](Self::push) a chunk, drain [`next_frame`](Self::next_frame), and
/// when the body has ended, [`finish`](Self::finish) until there is an end or an error.
pub trait Decode: Send {
    /// Adds the next chunk of the body.
    fn push(&mut self, chunk: Bytes);

    /// The next frame; `None` until more chunks arrive.
    ///
    /// # Errors
    /// An error event of the provider, or [`ErrorKind::Upstream`](crate::ErrorKind::Upstream) for what is no event. The
    /// decoder is of no use afterwards.
    fn next_frame(&mut self) -> Result<Option<Frame>, Error>;

    /// What is left when the body has ended: the last data, then the end.
    ///
    /// # Errors
    /// [`ErrorKind::Cut`](crate::ErrorKind::Cut) without the dialect's terminal signal, else as
    /// [`next_frame`](Self::next_frame).
    fn finish(&mut self) -> Result<Frame, Error>;
}
