//! Serves the same question the same answer again, and fetches an answer that many ask for at once only once.
//!
//! Matches are exact: a [`key`](CacheScope::key) covers the whole question, the tenant, the deployments that the model name
//! stands for, and what its owner says of the rest by an [`epoch`](CacheLayer::epoch). There is no similarity matching.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use rungs::{
//!     catalog::Targets,
//!     layers::cache::{CacheLayer, CacheScope},
//!     model::{CacheStatus, RouteHint},
//!     store::memory::MemoryCache,
//!     testing::{Reply, Scripted, ask},
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let provider = Scripted::new(Reply::text("42"));
//! let targets = Targets::new([provider.deployment()]);
//! let stack = ServiceBuilder::new()
//!     .layer(CacheLayer::new(Arc::new(MemoryCache::new(64 << 20)), CacheScope::Tenant))
//!     .service(provider.clone());
//!
//! let question = ask("6 x 7?").route(RouteHint::to(targets));
//! let first = stack.clone().oneshot(question.clone()).await?;
//! assert_eq!(first.meta.cache, CacheStatus::Miss);
//! first.body.collect(1000).await?;
//!
//! let again = stack.oneshot(question).await?;
//! assert_eq!(again.meta.cache, CacheStatus::Hit);
//! assert_eq!(provider.calls(), 1);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! In the call ring: below whatever adds to the question (a conversation), above everything that costs (cross-check, escalation,
//! routing, budgets). A hit takes no attempt and needs no budget.
//!
//! An answer is kept under the deployment that gave it, and only if `route.targets` has that deployment; it is served as long as
//! they still have it. Only answers that are what was asked for are kept: complete, each choice finished by the model itself or
//! by a limit that the question sets, from no fallback, without notes, and not doubted by a reviewer. Answers that call tools are kept if
//! [that is wanted](CacheLayer::tool_calls). [`CacheUse`](crate::model::CacheUse) lets one request go past the cache.
//!
//! # Streams
//! A kept answer serves both forms: chunks are put together, or a whole answer is taken apart, where the client wants the other.
//!
//! While an answer is being fetched, calls with the same question in the same form join it: they get what has arrived and then
//! follow live, each at its own pace. The first of them, the leader, pays; the others are marked
//! [`Shared`](crate::model::CacheStatus::Shared) and cost nothing. When the leader leaves, before or within the answer, the
//! others carry on with the same upstream call, still in the leader's context: its attempts, its budget, its deadline. When all
//! have left, that call is dropped.
//!
//! The payloads of an answer stay in memory until it ends, at most [`max_entry_bytes`](CacheLayer::max_entry_bytes). Of a longer
//! one only what somebody has still to read is held: nobody can join it any more, a follower that many bytes behind fails, and
//! the leader is waited for.
//!
//! # Errors
//! Passes the inner errors on, to followers too. Where an error is about the leader and not about the answer (its budget, its
//! permissions, our rate limit, its deadline), followers ask again for themselves instead; so do those with other accounts where the
//! answer has notes, for it may be worse than theirs would be. A follower whose own deadline passes
//! gets [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), one that reads too slowly
//! [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded). A store that fails is a miss.
//!
//! # Cost of the layer
//! A hash of the body and one look-up. A hit copies no payload; a miss shares each payload by reference count. No tasks, no
//! channels: whoever reads drives.

mod buffer;
mod config;
mod flight;
mod flights;
mod layer;
mod question;
mod reader;
mod scope;
mod service;
mod shelf;
mod signal;
mod tap;

pub use config::CacheConfig;
pub use layer::CacheLayer;
pub use scope::CacheScope;
pub use service::Cache;

#[cfg(test)]
mod tests;
