//! OpenAI's wire format, which most providers and local servers speak too.
//!
//! Requests and answers pass byte for byte. Only five things change on the way: the model's name where the provider has
//! another one for it, an output limit for calls without one where the deployment has a cap ([`Deployment::cap`]), its name for
//! servers that know the old one only ([`OutputLimit`]), `stream_options.include_usage` so that every stream is metered,
//! and a stream's usage, which travels in [`End::usage_chunk`] because only a client that asked for it may see it.

mod error;
mod opening;
mod request;
mod response;
mod stream;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

use super::{Decode, Dialect, Endpoint};
use crate::{
    catalog::Deployment,
    error::Error,
    model::{End, ModelRequest},
};

/// OpenAI's dialect, with what differs between the servers that speak it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenAi {
    terminal: Terminal,
    metering: Metering,
    output_limit: OutputLimit,
}

/// What ends a stream. Anything else that stops it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terminal {
    /// `data: [DONE]`.
    #[default]
    Done,
    /// Also the end of the body, once every choice that was asked for, or the only one that came, has its `finish_reason`: for servers that leave `[DONE]` out.
    FinishReason,
}

/// How a stream's usage is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metering {
    /// Always ask for it with `stream_options.include_usage`.
    #[default]
    Ask,
    /// Take what comes: for servers that refuse `stream_options`, or send usage unasked.
    Accept,
}

/// Under which name a chat's output limit is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputLimit {
    /// As the client names it.
    #[default]
    AsAsked,
    /// As `max_tokens`: for servers that pass over `max_completion_tokens`, and so would answer, and bill, past what is reserved.
    MaxTokens,
}

impl OpenAi {
    /// The dialect as OpenAI speaks it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what ends a stream.
    #[must_use]
    pub fn terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = terminal;
        self
    }

    /// Sets how a stream's usage is learnt.
    #[must_use]
    pub fn metering(mut self, metering: Metering) -> Self {
        self.metering = metering;
        self
    }

    /// Sets under which name a chat's output limit is sent.
    #[must_use]
    pub fn output_limit(mut self, name: OutputLimit) -> Self {
        self.output_limit = name;
        self
    }
}

impl Dialect for OpenAi {
    fn request(
        &self,
        req: &ModelRequest,
        d: &Deployment,
        endpoint: &Endpoint,
    ) -> Result<Request<Bytes>, Error> {
        request::write(self, req, d, endpoint)
    }

    fn whole(&self, req: &ModelRequest, body: Bytes) -> Result<(Bytes, End), Error> {
        response::read(req.op, body)
    }

    fn stream(&self, req: &ModelRequest, max_event: usize) -> Box<dyn Decode> {
        let asked = req.body.get_as::<u64>("n").ok().flatten();
        let chunks = stream::Chunks::new(self.terminal, asked.unwrap_or(1), max_event);
        Box::new(opening::Opening::new(chunks))
    }

    fn error(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Error {
        error::read(status, body)
    }
}

#[cfg(test)]
mod tests;
