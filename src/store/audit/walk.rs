use std::fmt;

use super::{AuditEntry, next_chain};
use crate::store::Chain;

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
/// assert_eq!(finding.to_string(), "audit row 1 was altered, or the one before it was");
/// # Ok::<(), rungs::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct AuditWalk {
    key: [u8; 32],
    next: u64,
    chain: Chain,
    rows: u64,
}

/// What is wrong with an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFinding {
    /// These rows are not there.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// This row does not continue the chain.
    Altered(u64),
}

impl AuditWalk {
    /// A walk from the first row on, with the key that the log was opened with.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            next: 1,
            chain: Chain::default(),
            rows: 0,
        }
    }

    /// How many rows were checked.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Checks the next row, and says what is wrong. After a finding it goes on from that row as it is, so that each flaw is found once.
    pub fn check(&mut self, entry: &AuditEntry) -> Option<AuditFinding> {
        let before = std::mem::replace(&mut self.chain, entry.chain);
        let missing = self.missing_before(entry.seq);
        self.next = entry.seq.saturating_add(1);
        self.rows += 1;
        missing.or_else(|| {
            let chain = next_chain(&self.key, &before, entry.seq, &entry.row);
            (chain != entry.chain).then_some(AuditFinding::Altered(entry.seq))
        })
    }

    /// To be called behind the last row, with what [`AuditLog::last`](super::AuditLog::last) said before the first was read: whether rows are
    /// missing at the end.
    #[must_use]
    pub fn finish(&self, last: Option<(u64, Chain)>) -> Option<AuditFinding> {
        let (last, chain) = last?;
        let end = last.saturating_add(1);
        self.missing_before(end).or_else(|| {
            (self.next == end && self.chain != chain).then_some(AuditFinding::Altered(last))
        })
    }

    fn missing_before(&self, seq: u64) -> Option<AuditFinding> {
        (self.next < seq).then(|| AuditFinding::Missing {
            first: self.next,
            last: seq - 1,
        })
    }
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { first, last } if first == last => {
                write!(f, "audit row {first} is missing")
            }
            Self::Missing { first, last } => {
                write!(f, "audit rows {first} to {last} are missing")
            }
            Self::Altered(seq) => {
                write!(f, "audit row {seq} was altered, or the one before it was")
            }
        }
    }
}

impl fmt::Debug for AuditWalk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditWalk")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
