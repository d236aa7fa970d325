//! Holds the last of an answer back until what it has cost is on record, and what it leaves behind.
//!
//! With a [`spool`](CommitLayer::spool) it waits for the turn of a call in a conversation, and for the answer that is kept for whoever
//! repeats a call: who was told the end finds both again, though the process is killed.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use rungs::{layers::{commit::CommitLayer, cost::CostLayer}, store::memory::MemoryLedger, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (provider, ledger) = (Scripted::new(Reply::text("42")), Arc::new(MemoryLedger::new(10)));
//! let stack = ServiceBuilder::new()
//!     .layer(CommitLayer::new(ledger.clone()))
//!     .layer(CostLayer::new(provider.deployment(), ledger.clone()))
//!     .service(provider);
//! let answer = stack.oneshot(ask("6 x 7?")).await?;
//! assert_eq!(ledger.rows().len(), 1); // before the first byte of a whole answer
//! # drop(answer);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! In the call ring, above everything that writes rows, so that one wait serves all attempts of a call; below the trace, which
//! measures it.
//!
//! # Streams
//! Frames pass as they come. Only the end waits, so the last byte that a client sees says that the answer is recorded. A whole
//! answer is all end: it waits once, before its first byte.
//!
//! # Errors
//! [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) in place of the end, if a row that cost something cannot be written,
//! or an answer was paid for by another call, whose row may be lost; what
//! cost nothing passes, and so does a turn or a name that cannot be written down: it is in memory still. Inner errors wait as answers do: what was charged for them is on record when a client hears of them.
//!
//! # Cost of the layer
//! What has cost money waits for a sync of the disk, which many calls share, and so does what another call may have paid for: what its
//! repetitions are told, and who shares its answer through the cache. What has not waits for a write. Nothing at all with
//! a ledger in memory. The spool is asked for calls that leave something there, and syncs at the same time.

mod layer;
mod service;

pub use layer::CommitLayer;
pub use service::Commit;

#[cfg(test)]
mod tests;
