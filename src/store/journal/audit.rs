use std::fmt;

use super::codec::{encode, next_chain};
use crate::store::{Chain, Entry};

/// Walks the rows of a store, as a journal shipped them, and tells which one is not as it was.
///
/// ```
/// use rungs::store::{Entry, journal::{Audit, encode, next_chain}};
/// use rungs::testing::ledger_contract::row;
///
/// let (key, row) = ([7; 32], row("req_1", 1, 42, std::time::Duration::ZERO));
/// let mut bytes = Vec::new();
/// encode(&row, &mut bytes);
/// let mut entry = Entry { seq: 1, chain: next_chain(&key, &[0; 16], 1, &bytes), row };
/// assert!(Audit::new(&key).check(&entry).is_ok());
///
/// entry.row.cost = "0.01".parse()?;
/// let finding = Audit::new(&key).check(&entry).unwrap_err();
/// assert_eq!(finding.to_string(), "row 1 was altered, or the one before it was");
/// # Ok::<(), rungs::Error>(())
/// ```
#[derive(Clone)]
pub struct Audit {
    key: [u8; 32],
    next: u64,
    chain: Chain,
    bytes: Vec<u8>,
}

/// What is wrong with a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
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

impl Audit {
    /// An audit from the first row on, with the key that the journal was opened with.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            next: 1,
            chain: Chain::default(),
            bytes: Vec::new(),
        }
    }

    /// How many rows the ledger has had up to the last one that was checked.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.next - 1
    }

    /// Checks the next row. After a finding it goes on from that row as it is, so that each flaw is found once.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&mut self, entry: &Entry) -> Result<(), Finding> {
        let (expected, before) = (self.next, self.chain);
        (self.next, self.chain) = (entry.seq + 1, entry.chain);
        if entry.seq != expected {
            let last = entry.seq - 1;
            return Err(Finding::Missing {
                first: expected,
                last,
            });
        }
        self.bytes.clear();
        encode(&entry.row, &mut self.bytes);
        match next_chain(&self.key, &before, entry.seq, &self.bytes) == entry.chain {
            true => Ok(()),
            false => Err(Finding::Altered(entry.seq)),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { first, last } if first == last => write!(f, "row {first} is missing"),
            Self::Missing { first, last } => write!(f, "rows {first} to {last} are missing"),
            Self::Altered(seq) => write!(f, "row {seq} was altered, or the one before it was"),
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
