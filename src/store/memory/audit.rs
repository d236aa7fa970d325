use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::done;
use crate::store::{
    AuditEntry, AuditLog, AuditRow, Chain, StoreFuture,
    audit::next_chain,
    plain::{millis, time},
};

/// The newest rows of an audit, in the memory of one process.
pub struct MemoryAudit {
    key: [u8; 32],
    keep: usize,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    kept: VecDeque<AuditEntry>,
    last: Option<(u64, Chain)>,
}

impl MemoryAudit {
    /// An audit that keeps the newest `keep` rows, chained with `key`.
    #[must_use]
    pub fn new(key: &[u8; 32], keep: usize) -> Self {
        Self {
            key: *key,
            keep,
            rows: Mutex::default(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditLog for MemoryAudit {
    fn append<'a>(&'a self, row: &'a AuditRow) -> StoreFuture<'a, u64> {
        let mut rows = self.rows();
        let (last, before) = rows.last.unwrap_or_default();
        let seq = last + 1;
        let chain = next_chain(&self.key, &before, seq, row);
        rows.last = Some((seq, chain));
        let row = AuditRow {
            at: time(millis(row.at)),
            ..row.clone()
        };
        rows.kept.push_back(AuditEntry { seq, chain, row });
        if rows.kept.len() > self.keep {
            rows.kept.pop_front();
        }
        done(seq)
    }

    fn read(&self, after: u64, since: SystemTime, most: u32) -> StoreFuture<'_, Vec<AuditEntry>> {
        let rows = self.rows();
        let wanted = |entry: &&AuditEntry| entry.seq > after && entry.row.at >= since;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        done(
            rows.kept
                .iter()
                .filter(wanted)
                .take(most)
                .cloned()
                .collect(),
        )
    }

    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>> {
        done(self.rows().last)
    }
}

impl fmt::Debug for MemoryAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAudit")
            .field("rows", &self.rows().kept.len())
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
