//! Where state lives: traits that layers and edges use, and their implementations.
//!
//! Hot state (cached answers, rate limits, budgets in force) is asked on the path of a call; cold state (ledger, keys,
//! conversations) is written behind it or read once, conversations through a [`Hot`] layer. The traits are object-safe; a stack holds them as `Arc<dyn …>`.
//!
//! | trait | what it holds | implementations |
//! |---|---|---|
//! | [`CacheStore`] | answers, for a time | [`memory::MemoryCache`], `redis::RedisCache` |
//! | [`RateStore`] | what is used of rate limits | [`memory::MemoryRates`], `redis::RedisRates` |
//! | [`IdempotencyStore`] | calls that clients may repeat | [`memory::MemoryIdempotency`], `redis::RedisIdempotency`, and of `sqlite::SqliteStore` and `postgres::PostgresStore` |
//! | [`Budgets`] | what accounts may spend | [`memory::MemoryBudgets`], `postgres::LeasedBudgets` |
//! | [`Ledger`] | every attempt and cache hit, in money | [`memory::MemoryLedger`], `journal::Journal` |
//! | [`LedgerSink`] | the rows of a journal | `sqlite::SqliteStore`, `postgres::PostgresLedger` |
//! | [`LedgerLog`] | the rows of a store, to be read and forgotten | `sqlite::SqliteLog`, `postgres::PostgresLog` |
//! | [`Spool`] | what a store does not have yet | `spool::FileSpool` |
//! | [`KeyStore`] | API keys | [`memory::MemoryKeys`], `sqlite::SqliteKeys`, `postgres::PostgresKeys` |
//! | [`ConversationStore`] | what was said, and summaries of it | [`memory::MemoryConversations`], and of `sqlite::SqliteStore` and `postgres::PostgresStore`; [`Hot`] in front of each |
//! | [`TodoStore`] | todo lists | [`memory::MemoryTodos`], and of the same two; [`Hot`] in front of each |
//! | [`AuditLog`] | who called which tool that does more than read | [`memory::MemoryAudit`], and of `sqlite::SqliteStore` and `postgres::PostgresStore` |
//! | [`HotStore`] | copies of those two, for a time | [`memory::MemoryHot`], `redis::RedisHot` |

mod audit;
mod budgets;
mod cache;
mod conversations;
#[cfg(any(feature = "journal", feature = "sqlite"))]
mod fail_point;
mod field_hash;
mod hot;
mod idempotency;
#[cfg(feature = "journal")]
pub mod journal;
mod keys;
#[cfg(feature = "postgres")]
mod lease;
mod ledger;
#[cfg(any(feature = "journal", feature = "sqlite"))]
mod lock;
mod log;
pub mod memory;
#[cfg(feature = "journal")]
mod numbered;
mod plain;
#[cfg(feature = "postgres")]
pub mod postgres;
mod rates;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod record;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod said;
pub mod spool;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "journal")]
mod survival;
mod todos;
mod walk;
mod window;

pub use audit::{AuditEntry, AuditEvent, AuditLog, AuditRow, AuditWalk};
pub use budgets::{AccountBalance, Balance, Budget, Budgets, Hold, Reservation};
pub use cache::{CacheEntry, CacheKey, CacheStore};
pub use conversations::{
    ConversationKey, ConversationStore, Forgotten, LONGEST_CONVERSATION, LONGEST_WINDOW, Memory,
    RECENT, Remembered, Summary, Turn,
};
pub(crate) use field_hash::FieldHash;
pub use hot::{Hot, HotEntry, HotKey, HotKind, HotStore};
pub use idempotency::{
    Begun, Claim, IdempotencyKey, IdempotencyStore, KeptCall, KeptOutcome, Question, Remarks,
};
pub use keys::{KeyRecord, KeyStore, OnStoreDown, Role, Secret};
pub use ledger::{
    Chain, Durability, Entry, Intent, Ledger, LedgerRow, LedgerSink, Progress, RowStatus,
};
pub use log::{Extent, Gone, JournalHead, LedgerLog, Pruned};
pub use rates::{Alone, Correction, Quota, RateDecision, RateStore, Standing, Standings, Take};
pub use spool::{Spool, Topic};
pub use todos::{TodoItem, TodoList, TodoStatus, TodoStore};
pub use walk::Finding;
pub use window::{Window, Zone};

pub use crate::model::CostSource;

/// A boxed future, so that the store traits stay object-safe.
pub type StoreFuture<'a, T> = futures_util::future::BoxFuture<'a, Result<T, crate::error::Error>>;
