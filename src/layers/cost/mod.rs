//! Writes one ledger row per attempt, however it ends.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use rungs::{layers::cost::CostLayer, store::memory::MemoryLedger, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let ledger = Arc::new(MemoryLedger::new(100));
//! let provider = Scripted::new(Reply::text("42"));
//! let stack = ServiceBuilder::new()
//!     .layer(CostLayer::new(provider.deployment(), ledger.clone()))
//!     .service(provider);
//! let answer = stack.oneshot(ask("6 x 7?")).await?;
//! answer.body.collect(1000).await?;
//! assert_eq!(ledger.rows().len(), 1);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! In the attempt ring, below everything that refuses without asking the provider and below the retry, so that each row is a
//! request that went out; directly above the timeout, whose errors it records.
//!
//! The context of the call learns from here what it has [cost](crate::model::CallContext::spent), how many
//! [tokens](crate::model::CallContext::tokens) it has used, and which of its attempts [went out](crate::model::CallContext::is_sent).
//!
//! # Streams
//! The row is written when the body ends, with the charge that budgets post too: see [`Charge`](crate::model::Charge). A body that is dropped before leaves a row with status `cancelled`.
//!
//! # Errors
//! Passes the inner errors on. Refuses with [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded) while the ledger's writer
//! is too far behind, because an attempt that costs something and cannot be written down is not made. What is free is.
//!
//! # Cost of the layer
//! One allocation per attempt; no IO on the path of the call.

mod entry;
mod layer;
mod meters;
mod service;

pub use layer::CostLayer;
pub use service::{Cost, CostFuture};

#[cfg(test)]
mod tests;
