use std::{collections::VecDeque, fmt};

use super::codec::{encode, next_chain};
use crate::store::{Entry, Finding, Gone, JournalHead, walk::Walk};

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
/// assert_eq!(Audit::new(&key).check(&entry), None);
///
/// entry.row.cost = "0.01".parse()?;
/// let finding = Audit::new(&key).check(&entry).unwrap();
/// assert_eq!(finding.to_string(), "row 1 was altered, or the one before it was");
/// # Ok::<(), rungs::Error>(())
/// ```
#[derive(Clone)]
pub struct Audit {
    key: [u8; 32],
    walk: Walk,
    bytes: Vec<u8>,
}

impl Audit {
    /// An audit from the first row on, with the key that the journal was opened with.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            walk: Walk::default(),
            bytes: Vec::new(),
        }
    }

    /// An audit of what is left of a journal, and the records of gone rows that are not genuine: those excuse nothing.
    #[must_use]
    pub fn of(journal: &JournalHead, key: &[u8; 32]) -> (Self, Vec<Finding>) {
        let (genuine, forged): (VecDeque<Gone>, VecDeque<_>) = journal
            .gone
            .iter()
            .partition(|gone| gone.is_genuine(key, &journal.name));
        let audit = Self {
            walk: Walk::beside(genuine),
            ..Self::new(key)
        };
        let forged = forged.iter().map(|gone| Finding::Forged(gone.seq));
        (audit, forged.collect())
    }

    /// How many rows were checked.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.walk.rows()
    }

    /// The number of the row behind which it goes on.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.walk.after()
    }

    /// Checks the next row, and says what is wrong. After a finding it goes on from that row as it is, so that each flaw is found once.
    pub fn check(&mut self, entry: &Entry) -> Option<Finding> {
        let Self { key, walk, bytes } = self;
        walk.check(entry.seq, entry.chain, |before| {
            bytes.clear();
            encode(&entry.row, bytes);
            next_chain(key, before, entry.seq, bytes)
        })
    }

    /// To be called behind the last row: whether rows up to the journal's last one are missing.
    pub fn finish(&mut self, journal: &JournalHead) -> Option<Finding> {
        match (journal.last, journal.gone.last()) {
            // Where old rows went one at least has stayed.
            (None, Some(Gone { seq, .. })) => Some(Finding::Missing {
                first: seq + 1,
                last: seq + 1,
            }),
            (last, _) => self.walk.finish(last),
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("after", &self.after())
            .finish_non_exhaustive()
    }
}
