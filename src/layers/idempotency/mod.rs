//! Carries a call out once, however often its client repeats it: for clients that may try again without knowing what became of
//! their first try.
//!
//! A call is named by [`Call::idempotency`](crate::model::Call::idempotency), within its tenant and API key. The first call of a
//! name is carried out; others of the name wait for it and get its answer, also long afterwards. A call without a name passes.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use rungs::{
//!     layers::idempotency::IdempotencyLayer,
//!     model::{Call, CallContext, ModelRequest},
//!     store::memory::MemoryIdempotency,
//!     testing::{Reply, Scripted, ask},
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let provider = Scripted::new(Reply::text("42"));
//! let stack = ServiceBuilder::new()
//!     .layer(IdempotencyLayer::new(Arc::new(MemoryIdempotency::new(64 << 20))))
//!     .service(provider.clone());
//!
//! let named = || ModelRequest {
//!     ctx: CallContext::new(Call { idempotency: Some("order-17".into()), ..Call::new("me") }),
//!     ..ask("6 x 7?")
//! };
//! stack.clone().oneshot(named()).await?.body.collect(1000).await?;
//! let again = stack.oneshot(named()).await?;
//! assert!(again.meta.replayed);
//! assert_eq!(provider.calls(), 1);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! In the call ring. Below the caller's rate limits: a repetition is a request, as a cache hit is one. Above everything that
//! remembers or costs (conversation, cache, routing, budgets): a repetition must not be added to a conversation again, takes no
//! attempt and needs no budget. [`drain`](crate::layers::drain) [around](IdempotencyLayer::around) the call that is carried out
//! lets the answer arrive though its client has left, so that it is there when the client comes again.
//!
//! # Streams
//! The answer passes as it comes and is kept once it is complete. A repetition waits for that and then has all of it, chunk by
//! chunk as it came; `stream` is part of what was asked, so the form is the same.
//!
//! # What is kept
//! Complete answers with what was said about them, for [`ttl`](IdempotencyLayer::ttl), and errors that have cost something, or [may
//! have](crate::Error::is_unbilled): whoever wants to pay a second time takes another name. An error that cost nothing goes to those who wait for it, and then the name is free; so it is when the
//! client of the first call leaves, and the call was not read to its end. Of an answer above
//! [`max_bytes`](IdempotencyLayer::max_bytes) only the fact is kept.
//!
//! # Errors
//! [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when the first call is still under way after [`wait`](IdempotencyLayer::wait),
//! when its answer was too long to be kept, or when another version has kept it in a form that this one cannot read; [`ErrorKind::Reused`](crate::ErrorKind::Reused) when the name belongs to another
//! operation, quality, conversation or body. The store's own errors pass, as do the inner ones.
//!
//! # Cost of the layer
//! Nothing for a call without a name. With one, two hashes, one question to the store, and the payloads by reference until the end.

mod carry;
mod config;
mod layer;
mod name;
mod service;
mod tap;

pub use carry::CarryOut;
pub use config::IdempotencyConfig;
pub use layer::IdempotencyLayer;
pub use service::{Carries, Idempotency};

#[cfg(test)]
mod tests;
