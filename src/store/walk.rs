use std::{collections::VecDeque, fmt};

use super::{Chain, Gone};

/// What is wrong with rows that are chained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// These rows are not there.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// These rows are in the journal and not where it ships them: taken out, or not shipped yet.
    Unshipped {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// This row does not continue the chain.
    Altered(u64),
    /// This row stands where none can: its number was there already, or is of those that went for their age.
    Stray(u64),
    /// The record that this row, or all up to it, went for its age is not genuine.
    Forged(u64),
}

/// A walk over the rows of a chain, in their order.
#[derive(Clone, Default)]
pub(super) struct Walk {
    /// The number of the row behind which it goes on, and the chain up to it.
    at: u64,
    chain: Chain,
    /// Rows that are gone on purpose, further on.
    gone: VecDeque<Gone>,
    rows: u64,
}

impl Walk {
    /// A walk over what these records, which are genuine, leave.
    #[cfg(feature = "journal")]
    pub(super) fn beside(mut gone: VecDeque<Gone>) -> Self {
        // What went before what is gone is gone as well.
        let start = gone.iter().rfind(|gone| gone.extent == super::Extent::UpTo);
        let (at, chain) = start.map_or_else(Default::default, |start| (start.seq, start.chain));
        gone.retain(|gone| gone.seq > at);
        Self {
            at,
            chain,
            gone,
            rows: 0,
        }
    }

    pub(super) fn after(&self) -> u64 {
        self.at
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Checks the next row, whose chain must be what `next` makes of the one before it. After a finding it goes on from that row as it
    /// is.
    pub(super) fn check(
        &mut self,
        seq: u64,
        chain: Chain,
        next: impl FnOnce(&Chain) -> Chain,
    ) -> Option<Finding> {
        if seq <= self.at {
            return Some(Finding::Stray(seq));
        }
        let missing = self.pass(seq.saturating_sub(1));
        let before = std::mem::replace(&mut self.chain, chain);
        self.at = seq;
        self.rows += 1;
        missing.or_else(|| (next(&before) != chain).then_some(Finding::Altered(seq)))
    }

    /// Whether all rows up to the last one were there.
    pub(super) fn finish(&mut self, last: Option<(u64, Chain)>) -> Option<Finding> {
        let (last, chain) = last?;
        let missing = self.pass(last);
        missing
            .or_else(|| (self.at == last && self.chain != chain).then_some(Finding::Altered(last)))
    }

    /// Goes on behind row `end`, over rows that are gone on purpose. The others in between are missing.
    fn pass(&mut self, end: u64) -> Option<Finding> {
        let mut missing = None;
        while self.at < end {
            match self.gone.front() {
                Some(gone) if gone.seq == self.at + 1 => {
                    (self.at, self.chain) = (gone.seq, gone.chain);
                    self.gone.pop_front();
                }
                Some(gone) if gone.seq <= self.at => drop(self.gone.pop_front()),
                next => {
                    // As one finding, from the first to the last that is nowhere.
                    let last = next.map_or(end, |gone| end.min(gone.seq - 1));
                    let first = match missing {
                        Some(Finding::Missing { first, .. }) => first,
                        _ => self.at + 1,
                    };
                    missing = Some(Finding::Missing { first, last });
                    self.at = last;
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
            Self::Unshipped { first, last } => {
                match first == last {
                    true => write!(f, "row {first} is"),
                    false => write!(f, "rows {first} to {last} are"),
                }?;
                f.write_str(
                    " in the journal alone: taken out of the database, or not brought there yet",
                )
            }
            Self::Altered(seq) => write!(f, "row {seq} was altered, or the one before it was"),
            Self::Stray(seq) => {
                write!(f, "row {seq} was added, or should be gone for its age")
            }
            Self::Forged(seq) => {
                write!(f, "the record that row {seq} went for its age is forged")
            }
        }
    }
}
