use std::{collections::VecDeque, fmt};

use super::codec::{encode, next_chain};
use crate::store::{Chain, Entry, Extent, Gone, JournalHead};

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
    next: u64,
    chain: Chain,
    /// Rows that are gone on purpose, further on.
    gone: VecDeque<Gone>,
    rows: u64,
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
    /// The record that this row, or all up to it, went for its age is not genuine.
    Forged(u64),
}

impl Audit {
    /// An audit from the first row on, with the key that the journal was opened with.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            next: 1,
            chain: Chain::default(),
            gone: VecDeque::new(),
            rows: 0,
            bytes: Vec::new(),
        }
    }

    /// An audit of what is left of a journal, and the records of gone rows that are not genuine: those excuse nothing.
    #[must_use]
    pub fn of(journal: &JournalHead, key: &[u8; 32]) -> (Self, Vec<Finding>) {
        let (genuine, forged): (Vec<Gone>, Vec<_>) = journal
            .gone
            .iter()
            .partition(|gone| gone.is_genuine(key, &journal.name));
        let mut audit = Self {
            gone: genuine.into(),
            ..Self::new(key)
        };
        // What went before what is gone is gone as well.
        if let Some(start) = audit.gone.iter().rposition(|g| g.extent == Extent::UpTo) {
            let start = audit.gone[start];
            audit.gone.retain(|gone| gone.seq > start.seq);
            (audit.next, audit.chain) = (start.seq + 1, start.chain);
        }
        let forged = forged.iter().map(|gone| Finding::Forged(gone.seq));
        (audit, forged.collect())
    }

    /// How many rows were checked.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of the row behind which it goes on.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.next - 1
    }

    /// Checks the next row, and says what is wrong. After a finding it goes on from that row as it is, so that each flaw is found once.
    pub fn check(&mut self, entry: &Entry) -> Option<Finding> {
        let missing = self.skip_to(entry.seq);
        let before = std::mem::replace(&mut self.chain, entry.chain);
        self.next = entry.seq + 1;
        self.rows += 1;
        if missing.is_some() {
            return missing;
        }
        self.bytes.clear();
        encode(&entry.row, &mut self.bytes);
        let chain = next_chain(&self.key, &before, entry.seq, &self.bytes);
        (chain != entry.chain).then_some(Finding::Altered(entry.seq))
    }

    /// To be called behind the last row: whether rows up to the journal's last one are missing.
    pub fn finish(&mut self, journal: &JournalHead) -> Option<Finding> {
        let (last, chain) = journal.last?;
        let missing = self.skip_to(last + 1);
        (missing.is_none() && self.next == last + 1 && chain != self.chain)
            .then_some(Finding::Altered(last))
            .or(missing)
    }

    /// Goes on to row `seq` over rows that are gone on purpose. The others in between are missing.
    fn skip_to(&mut self, seq: u64) -> Option<Finding> {
        let mut missing = None;
        while self.next < seq {
            match self.gone.front() {
                Some(gone) if gone.seq == self.next => {
                    (self.next, self.chain) = (gone.seq + 1, gone.chain);
                    self.gone.pop_front();
                }
                Some(gone) if gone.seq < self.next => drop(self.gone.pop_front()),
                next => {
                    // As one finding, from the first to the last that is nowhere.
                    let end = next.map_or(seq, |gone| gone.seq.min(seq));
                    let first = match missing {
                        Some(Finding::Missing { first, .. }) => first,
                        _ => self.next,
                    };
                    missing = Some(Finding::Missing {
                        first,
                        last: end - 1,
                    });
                    self.next = end;
                }
            }
        }
        missing
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { first, last } if first == last => write!(f, "row {first} is missing"),
            Self::Missing { first, last } => write!(f, "rows {first} to {last} are missing"),
            Self::Altered(seq) => write!(f, "row {seq} was altered, or the one before it was"),
            Self::Forged(seq) => {
                write!(f, "the record that row {seq} went for its age is forged")
            }
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
