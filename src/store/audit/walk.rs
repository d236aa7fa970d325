use std::fmt;

use super::{AuditEntry, next_chain};
use crate::store::{Chain, Finding, walk::Walk};

/// Walks the rows of an [`AuditLog`](super::AuditLog) from the first on, and tells which one is not as it was.
///
/// ```
/// use std::time::UNIX_EPOCH;
/// use rungs::store::{AuditLog, AuditWalk, memory::MemoryAudit};
/// use rungs::testing::store_contract::audit_row;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let key = [7; 32];
/// let log = MemoryAudit::new(&key, 100);
/// log.append(&audit_row("fs_write")).await?;
/// let mut entry = log.read(0, UNIX_EPOCH, 10).await?.remove(0);
/// assert_eq!(AuditWalk::new(&key).check(&entry), None);
///
/// entry.row.tool = "fs_read".into();
/// let finding = AuditWalk::new(&key).check(&entry).unwrap();
/// assert_eq!(finding.to_string(), "row 1 was altered, or the one before it was");
/// # Ok::<(), rungs::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct AuditWalk {
    key: [u8; 32],
    walk: Walk,
}

impl AuditWalk {
    /// A walk from the first row on, with the key that the log was opened with.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            walk: Walk::default(),
        }
    }

    /// How many rows were checked.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.walk.rows()
    }

    /// Checks the next row, and says what is wrong. After a finding it goes on from that row as it is, so that each flaw is found once.
    pub fn check(&mut self, entry: &AuditEntry) -> Option<Finding> {
        let AuditEntry { seq, chain, row } = entry;
        let next = |before: &Chain| next_chain(&self.key, before, *seq, row);
        self.walk.check(*seq, *chain, next)
    }

    /// To be called behind the last row, with what [`AuditLog::last`](super::AuditLog::last) said before the first was read: whether rows are
    /// missing at the end.
    pub fn finish(&mut self, last: Option<(u64, Chain)>) -> Option<Finding> {
        self.walk.finish(last)
    }
}

impl fmt::Debug for AuditWalk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditWalk")
            .field("after", &self.walk.after())
            .finish_non_exhaustive()
    }
}
