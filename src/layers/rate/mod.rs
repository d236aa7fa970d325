//! Keeps calls within a number of requests and a number of tokens per period.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use rungs::{ErrorKind, layers::rate::RateLayer, store::{Quota, memory::MemoryRates}, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let service = ServiceBuilder::new()
//!     .layer(RateLayer::new(Arc::new(MemoryRates::new()), "openai/gpt").requests(Quota::per_minute(1)))
//!     .service(Scripted::new(Reply::text("42")));
//! assert!(service.clone().oneshot(ask("6 x 7?")).await.is_ok());
//! let error = service.oneshot(ask("and 6 x 8?")).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::RateLimited);
//! assert_eq!(error.message(), "the limit of 1 requests per 60 s of `openai/gpt` is reached");
//! # });
//! ```
//!
//! # Where it goes in a stack
//! For a provider's limits: in the attempt ring below the retry, which waits if the wait is short, and above the money, so that a
//! refusal leaves no reservation and no ledger row. For limits of a caller ([`RateLayer::per_call`]), a user or a tenant
//! ([`RateKey`]): in the call ring. Several limits that a call is under at one point belong into one layer
//! ([`RateLayer::and`]): it takes from all of them, or from none. How a caller's limits stand is written into the
//! [context](crate::model::CallContext::rates) of the call.
//!
//! # Streams
//! Tokens are estimated before a call: a quarter of the body's bytes, plus `max_completion_tokens` or `max_tokens` if the request has
//! one. When the answer ends with a usage, the estimate is corrected to what was really used, input and output together: in the call ring by
//! all attempts of the call that the cost layer has [counted](crate::model::CallContext::tokens), drafts and reviews too, and by none for an
//! answer out of the cache. One that is shared with a call under way, or told again, uses its own tokens: whoever hangs up and comes again gets
//! no answer for nothing. What was cut, timed out at a provider, failed within its answer or told nothing stays at its estimate at
//! least; an attempt that failed before it with another error has used no tokens; one that never reached the provider has used nothing at
//! all, also where its reader leaves before the cost layer has [sent](crate::model::CallContext::is_sent) it. An estimate above the whole quota counts as the whole quota.
//!
//! # Errors
//! [`ErrorKind::RateLimited`](crate::ErrorKind::RateLimited) with the time to wait, naming the limit. The store's own errors pass.
//!
//! # Cost of the layer
//! One allocation for the future, and one question to the store for all limits together.

mod key;
mod layer;
mod limit;
mod service;
mod tap;

pub use key::RateKey;
pub use layer::RateLayer;
pub use service::Rate;

#[cfg(test)]
mod tests;
