//! The leaf of every stack: one deployment at one provider, asked over HTTP.
//!
//! [`HttpProvider`] is a service that does the IO and nothing else; a [`Dialect`] is pure and knows the wire format. A provider
//! that speaks a known dialect is an [`Endpoint`] and no code.
//!
//! ```
//! use std::{convert::Infallible, sync::Arc};
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use rungs::{
//!     catalog::Deployment,
//!     json::RawObject,
//!     model::{Call, CallContext, ModelRequest},
//!     provider::{Endpoint, HttpProvider, Secret, openai::OpenAi},
//! };
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), rungs::Error> {
//! // Any HTTP client that is a tower service will do.
//! let transport = tower::service_fn(|request: http::Request<Bytes>| async move {
//!     assert_eq!(request.uri(), "https://api.openai.com/v1/chat/completions");
//!     let answer = r#"{"choices":[{"message":{"content":"4"},"finish_reason":"stop"}],
//!                      "usage":{"prompt_tokens":9,"completion_tokens":1}}"#;
//!     Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(answer))))
//! });
//! let endpoint = Endpoint::new("openai", "https://api.openai.com/v1")?.key(Secret::new("sk-..")?);
//! let deployment = Deployment::new("openai", "gpt-4o-mini");
//! let provider = HttpProvider::new(transport, deployment, endpoint, Arc::new(OpenAi::new()));
//!
//! let body = r#"{"model":"auto","messages":[{"role":"user","content":"2+2?"}]}"#;
//! let request = ModelRequest::chat(RawObject::parse(body.into())?, CallContext::new(Call::new("me")));
//! let answer = provider.oneshot(request).await?.body.collect(1024).await?;
//! assert_eq!(answer.end.usage.map(|u| u.total_output()), Some(1));
//! # Ok(()) }
//! ```
//!
//! # Streams
//! A streamed answer is forwarded event by event, each as the slice of the chunk it came in. The service resolves with the
//! first frame, so an error in the first event is an ordinary error. Dropping the future or the body closes the connection
//! to the provider. An answer that comes in the other form than was asked for is converted.
//!
//! # Errors
//! Every error that a provider caused names it, and keeps its status and `Retry-After`. Its text is passed on short, without
//! control characters, and without our key should the provider repeat it. Redirects are errors: they would lead to a host
//! that nobody configured.

mod dialect;
mod endpoint;
mod frames;
pub mod openai;
mod retry_after;
mod secret;
mod service;
mod target;
#[cfg(any(feature = "hyper", feature = "reqwest"))]
mod transport;
mod usage;

#[cfg(feature = "reqwest")]
pub use self::transport::ReqwestTransport;
#[cfg(feature = "hyper")]
pub use self::transport::{AnswerBody, HyperTransport};
#[cfg(any(feature = "hyper", feature = "reqwest"))]
pub use self::transport::{TransportBody, TransportConfig};
pub use self::{
    dialect::{Decode, Dialect},
    endpoint::Endpoint,
    secret::Secret,
    service::HttpProvider,
};

#[cfg(test)]
mod tests;
