//! Lets an attempt go on to its end when its reader leaves, so that its cost is known and not guessed.
//!
//! Closing the connection to the provider is the default everywhere, and the cheapest: but the usage comes at the end, so an
//! attempt that is cut is charged at its worst case. Reading on costs what the rest of the answer costs and settles exactly.
//!
//! # Example
//! ```
//! use std::{sync::Arc, time::Duration};
//! use rungs::{layers::{cost::CostLayer, drain::{DrainLayer, Drains}}, store::{RowStatus, memory::MemoryLedger}};
//! use rungs::testing::{Reply, Scripted, ask_stream};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let (provider, ledger) = (Scripted::new(Reply::text("one two three")), Arc::new(MemoryLedger::new(10)));
//! let drains = Drains::new(8, Duration::from_secs(60));
//! let stack = ServiceBuilder::new()
//!     .layer(DrainLayer::new(drains.clone()))
//!     .layer(CostLayer::new(provider.deployment(), ledger.clone()))
//!     .service(provider.clone());
//! drop(stack.oneshot(ask_stream("count")).await?); // nobody reads it
//! drains.finish().await;
//! assert_eq!(ledger.rows()[0].status, RowStatus::Ok);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! In the attempt ring, below the retry, which must not begin anything for a reader who has left, and above permits, budget and
//! cost, which then hold, settle and record the attempt as if it had been read. In the call ring, [around](crate::layers::idempotency::IdempotencyLayer::around)
//! the calls whose answers are kept for clients that come again.
//!
//! # Streams
//! What is dropped before its end is read on by a task of its own, up to a number of such tasks and a time. Beyond either the
//! connection is closed. An attempt that still waits for its turn, such as for money, ends with its reader: it goes on only once the cost
//! layer has [sent](crate::model::CallContext::is_sent) it. Layers above see that the reader left.
//!
//! # Errors
//! Passes the inner errors on; those of an answer that nobody reads end with it.
//!
//! # Cost of the layer
//! One allocation per attempt and one per stream. Tasks are started only for readers who leave, and [`Drains::finish`] waits for
//! them.

mod drains;
mod layer;
mod service;

pub use drains::Drains;
pub use layer::DrainLayer;
pub use service::{Drain, DrainFuture};

#[cfg(test)]
mod tests;
