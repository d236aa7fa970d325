//! Where state lives: traits that layers and edges use, and their implementations.
//!
//! Hot state (cached answers, rate limits, budgets in force) is asked on the path of a call; cold state (ledger, keys) is written
//! behind it or read once. The traits are object-safe; a stack holds them as `Arc<dyn …>`.
//!
//! | trait | what it holds | implementations |
//! |---|---|---|

mod budgets;
mod cache;
mod keys;
mod ledger;
pub mod memory;
mod rates;

pub use budgets::{Balance, Budget, Budgets, Reservation, Window};
pub use cache::{CacheEntry, CacheKey, CacheStore};
pub use keys::{KeyRecord, KeyStore};
pub use ledger::{CostSource, Ledger, LedgerRow, RowStatus, Spent};
pub use rates::{Quota, RateDecision, RateStore};

/// A boxed future, so that the store traits stay object-safe.
pub type StoreFuture<'a, T> = futures_util::future::BoxFuture<'a, Result<T, crate::Error>>;
