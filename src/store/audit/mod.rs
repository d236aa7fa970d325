//! What was called that does more than read: rows that are appended and never changed, and the chain that shows it.

mod chain;
mod walk;

use std::{sync::Arc, time::SystemTime};

use super::{Chain, RowStatus, StoreFuture};
use crate::catalog::Money;

pub(in crate::store) use chain::next_chain;
pub use walk::AuditWalk;

/// What somebody did, or was not let do, beyond reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When; kept to the millisecond.
    pub at: SystemTime,
    /// The session that it came in, if there is one.
    pub session: Option<Arc<str>>,
    /// Whose data it reaches.
    pub tenant: Arc<str>,
    /// The API key's id.
    pub key: Option<Arc<str>>,
    /// The end user.
    pub user: Option<Arc<str>>,
    /// The tool that was called.
    pub tool: Arc<str>,
    /// What the tool does to the world, in a word.
    pub effect: Arc<str>,
    /// Hash of the arguments: enough to show which call it was, nothing to read.
    pub arguments: [u8; 32],
    /// What this row says of the call.
    pub event: AuditEvent,
}

/// What a row says of a call. One that was let in has two rows, unless nobody lived to write the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditEvent {
    /// It was let in. Written before it begins.
    Allowed,
    /// It was not, for this reason: a short word.
    Refused(Arc<str>),
    /// It has ended.
    Ended {
        /// The number of the row that says it was let in.
        allowed: u64,
        /// How.
        outcome: RowStatus,
        /// What it cost, if it pays for anything.
        cost: Option<Money>,
    },
}

impl AuditEvent {
    /// The name in the store.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused(_) => "refused",
            Self::Ended { .. } => "ended",
        }
    }
}

/// A row at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Counts from 1, without a gap, over all processes that share the store.
    pub seq: u64,
    /// Sums up this row and all before it.
    pub chain: Chain,
    /// The row.
    pub row: AuditRow,
}

/// Keeps rows that are never changed, each chained to all before it with a key that the store does not hold.
pub trait AuditLog: Send + Sync {
    /// Writes a row behind all others, and says its number. Once it returns, the row lasts as long as the store does.
    ///
    /// # Errors
    /// If it cannot be written now.
    fn append<'a>(&'a self, row: &'a AuditRow) -> StoreFuture<'a, u64>;

    /// At most `most` rows behind number `after` that are of `since` or later, oldest first.
    ///
    /// # Errors
    /// If they cannot be read, or one is none of ours; it is named.
    fn read(&self, after: u64, since: SystemTime, most: u32) -> StoreFuture<'_, Vec<AuditEntry>>;

    /// The number of the last row that was written, and the chain up to it; `None` before the first.
    ///
    /// # Errors
    /// If it cannot be read, or somebody took out what tells it.
    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>>;
}
