use std::{sync::Arc, time::SystemTime};

use super::{Chain, Entry, StoreFuture};

/// The rows of a store, for who reads them, checks them, or forgets the old ones: beside the gateways that write them.
pub trait LedgerLog: Send + Sync {
    /// The journals that have rows here, by name. A store of one process has one, without a name.
    ///
    /// # Errors
    /// If they cannot be read.
    fn journals(&self) -> StoreFuture<'_, Vec<JournalHead>>;

    /// At most `most` rows of a journal behind number `after` whose attempts began at `since` or later, in their order; and those that
    /// have the number of the last one, though no two should.
    ///
    /// # Errors
    /// If they cannot be read, or one is none of ours; it is named.
    fn read<'a>(
        &'a self,
        journal: &'a str,
        after: u64,
        since: SystemTime,
        most: u32,
    ) -> StoreFuture<'a, Vec<Entry>>;

    /// The number of the last row of a journal that [`prune`](Self::prune) would take, which may stand behind rows that stay; `None` if
    /// it would take none.
    ///
    /// # Errors
    /// If it cannot be read.
    fn last_to_go<'a>(
        &'a self,
        journal: &'a str,
        before: SystemTime,
    ) -> StoreFuture<'a, Option<u64>>;

    /// Forgets rows of attempts that began before `before`, not all where they go in larger parts, and leaves [`Gone`] records in their
    /// place, sealed with `seal`. What accounts have spent is not forgotten.
    ///
    /// # Errors
    /// If they cannot be removed now; what was is recorded.
    fn prune<'a>(&'a self, before: SystemTime, seal: &'a [u8; 32]) -> StoreFuture<'a, Pruned>;
}

/// A journal, as far as a store knows it.
#[derive(Debug, Clone)]
pub struct JournalHead {
    /// Its name.
    pub name: Arc<str>,
    /// The last row that has arrived, and the chain up to it.
    pub last: Option<(u64, Chain)>,
    /// Rows that are gone, in the order of their numbers.
    pub gone: Vec<Gone>,
}

/// What a prune has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// So many rows, one by one.
    Rows(u64),
    /// All rows of so many months, a table each.
    Months(u32),
}

/// A record that rows are gone because they were old, and no audit shall miss them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// The number of the last of them.
    pub seq: u64,
    /// How many.
    pub extent: Extent,
    /// The chain up to it.
    pub chain: Chain,
    /// A keyed hash over the record: nobody else can make one.
    pub seal: Chain,
}

/// Which rows a [`Gone`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// This one and all before it.
    UpTo,
    /// This one alone, among rows that are there.
    Alone,
}

/// Keeps these hashes apart from those of rows, which begin with a chain.
const PURPOSE: &[u8; 16] = b"rungs gone rows\0";

impl Gone {
    /// A record for `journal`, sealed with the key that the journal was opened with.
    #[must_use]
    pub fn sealed(key: &[u8; 32], journal: &str, extent: Extent, seq: u64, chain: Chain) -> Self {
        let mut gone = Self {
            seq,
            extent,
            chain,
            seal: Chain::default(),
        };
        gone.seal = gone.seal_for(key, journal);
        gone
    }

    /// Whether it was sealed with `key`, for `journal`.
    #[must_use]
    pub fn is_genuine(&self, key: &[u8; 32], journal: &str) -> bool {
        self.seal == self.seal_for(key, journal)
    }

    fn seal_for(&self, key: &[u8; 32], journal: &str) -> Chain {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher
            .update(PURPOSE)
            .update(&[self.extent as u8])
            .update(&self.seq.to_le_bytes())
            .update(&self.chain)
            .update(journal.as_bytes());
        let mut seal = Chain::default();
        seal.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        seal
    }
}
