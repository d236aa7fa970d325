//! Stores in the memory of one process: nothing to install, nothing to configure, gone when the process ends.
//!
//! They are the hot half of every single-process gateway. [`MemoryLedger`], [`MemoryKeys`], [`MemoryConversations`],
//! [`MemoryTodos`] and [`MemoryAudit`] have a lasting counterpart to prefer in production; [`MemoryBudgets`] are restored from a ledger by [`MemoryBudgets::seed`].

mod account;
mod audit;
mod budgets;
mod cache;
mod conversations;
mod hot;
mod idempotency;
mod keys;
mod ledger;
mod rates;
mod todos;

pub use audit::MemoryAudit;
pub use budgets::MemoryBudgets;
pub use cache::MemoryCache;
pub use conversations::MemoryConversations;
pub use hot::MemoryHot;
pub use idempotency::MemoryIdempotency;
pub use keys::MemoryKeys;
pub use ledger::MemoryLedger;
pub use rates::MemoryRates;
pub use todos::MemoryTodos;

use std::future::ready;

use super::StoreFuture;

/// An answer that is there already.
fn done<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok(value)))
}
