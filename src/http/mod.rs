//! The OpenAI surface as a plain tower service over HTTP: mount it in a hyper or axum app.
//!
//! [`OpenAi`] reads a request, asks [`Admit`] who calls and where the call may go, hands it to the call ring and writes the answer,
//! whole or as server-sent events, with the facts of the call in `x-rungs-*` headers.
//!
//! | path | operation |
//! |---|---|
//! | `POST …/chat/completions` | [`Operation::Chat`](crate::model::Operation::Chat) |
//! | `POST …/embeddings` | [`Operation::Embeddings`](crate::model::Operation::Embeddings) |
//!
//! # Example
//! ```
//! use http_body_util::{BodyExt, Full};
//! use rungs::{http::OpenAi, model::{Call, CallContext, RouteHint}, testing::{Reply, Scripted}};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let surface = OpenAi::new(Scripted::new(Reply::text("42")), |_: &_, _, _: &_| {
//!     Ok((CallContext::new(Call::new("me")), RouteHint::default()))
//! });
//! let request = http::Request::post("/v1/chat/completions")
//!     .body(Full::<bytes::Bytes>::from(r#"{"model":"m","messages":[{"role":"user","content":"6 x 7?"}]}"#))?;
//! let answer = surface.oneshot(request).await?;
//! assert_eq!(answer.headers()["x-rungs-tier"], "L0");
//! let body = answer.into_body().collect().await?.to_bytes();
//! assert!(body.starts_with(b"{"));
//! # Ok::<(), rungs::BoxError>(()) }).unwrap();
//! ```
//!
//! # The end of a stream
//! Before `[DONE]` comes a comment, `: rungs {…}`, with what is known of the call by then: `request_id`, `tier`, `model`, `attempts`,
//! `cache`, `cost_usd`, and where there is something to say `verdict`, `notes`, `context` and `replayed`, all in the words of the
//! headers. A client that asks for the usage finds the same there, as `rungs`.
//!
//! # Failures
//! Before the first byte a failure is an HTTP status with OpenAI's error envelope. After it, it is one `data: {"error": …}` event and
//! a close without `[DONE]`. A stream that waits longer than the ping interval for its first frame commits to status 200 then.

mod body;
mod envelope;
mod facts;
mod limits;
mod read;
mod service;
mod sse_body;
mod validate;

pub use body::AnswerBody;
pub use envelope::{error_response, error_value};
pub use facts::{fact_names, write_facts};
pub use read::read_body;
pub use service::{Admit, Admitted, OpenAi};

#[cfg(test)]
mod tests;
