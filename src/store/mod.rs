//! Where state lives: traits that layers and edges use, and their implementations.
//!
//! Hot state (cached answers, rate limits, budgets in force) is asked on the path of a call; cold state (ledger, keys) is written
//! behind it or read once. The traits are object-safe; a stack holds them as `Arc<dyn …>`.
//!
//! | trait | what it holds | implementations |
//! |---|---|---|
//! | [`CacheStore`] | answers, for a time | [`memory::MemoryCache`] |
//! | [`RateStore`] | what is used of rate limits | [`memory::MemoryRates`] |
//! | [`Budgets`] | what accounts may spend | [`memory::MemoryBudgets`] |
//! | [`Ledger`] | every attempt and cache hit, in money | [`memory::MemoryLedger`], `sqlite::SqliteStore` |
//! | [`KeyStore`] | API keys | [`memory::MemoryKeys`], `sqlite::SqliteKeys` |

mod budgets;
mod cache;
#[cfg(feature = "journal")]
pub mod journal;
mod keys;
mod ledger;
#[cfg(any(feature = "journal", feature = "sqlite"))]
mod lock;
pub mod memory;
mod rates;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod window;

pub use budgets::{Balance, Budget, Budgets, Hold, Reservation};
pub use cache::{CacheEntry, CacheKey, CacheStore};
pub use keys::{KeyRecord, KeyStore, OnStoreDown, Role, Secret};
pub use ledger::{Chain, Durability, Entry, Intent, Ledger, LedgerRow, LedgerSink, RowStatus};
pub use rates::{Quota, RateDecision, RateStore};
pub use window::{Window, Zone};

pub use crate::model::CostSource;

/// A boxed future, so that the store traits stay object-safe.
pub type StoreFuture<'a, T> = futures_util::future::BoxFuture<'a, Result<T, crate::error::Error>>;
