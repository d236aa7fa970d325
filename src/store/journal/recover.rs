//! What the last process left behind.

use std::{
    collections::{HashSet, VecDeque},
    fs,
    path::Path,
    sync::Arc,
};

use super::{
    codec::decode,
    files::{self, Files, failed},
    intents::Intents,
    segment::{HEAD, Head, Record, records},
};
use crate::{
    error::Error,
    store::{Chain, Entry, LedgerRow},
};

/// A journal as it was found, mended where a crash had torn it.
pub(super) struct Found {
    pub(super) files: Files,
    pub(super) intents: Intents,
    pub(super) next_seq: u64,
    /// Of the last row.
    pub(super) chain: Chain,
    /// The number of the last row that the sink has.
    pub(super) shipped: u64,
    pub(super) unshipped: Vec<Entry>,
    /// What was under way, and has no row yet; with its slot, which is all that tells of it.
    pub(super) interrupted: Vec<(u32, LedgerRow)>,
}

/// Reads the journal in `folder`, whose sink ends with `last`.
pub(super) fn read(
    folder: &Path,
    key: &[u8; 32],
    last: Option<(u64, Chain)>,
) -> Result<Found, Error> {
    let (intents, begun) = Intents::open_file(folder)?;
    let shipped = last.map_or(0, |(seq, _)| seq);
    let mut walk = Walk {
        folder,
        key,
        last,
        next: shipped + 1,
        chain: last.map_or_else(Chain::default, |(_, chain)| chain),
        segments: VecDeque::new(),
        newest: Vec::new(),
        torn: 0,
        unshipped: Vec::new(),
        ended: HashSet::new(),
    };
    walk.all()?;
    let ended = walk.ended;
    let (ended, interrupted) = begun
        .into_iter()
        .partition::<Vec<_>, _>(|(_, row)| ended.contains(&(row.request.clone(), row.attempt)));
    intents.close(ended.into_iter().map(|(slot, _)| slot));
    Ok(Found {
        files: Files::new(folder, walk.segments, &walk.newest, walk.torn)?,
        intents,
        next_seq: walk.next,
        chain: walk.chain,
        shipped,
        unshipped: walk.unshipped,
        interrupted,
    })
}

/// On the way through the segments.
struct Walk<'a> {
    folder: &'a Path,
    key: &'a [u8; 32],
    last: Option<(u64, Chain)>,
    next: u64,
    chain: Chain,
    segments: VecDeque<(u64, u64)>,
    /// The newest segment, up to the end of its last record.
    newest: Vec<u8>,
    /// So many bytes are behind the last row, if there are others in them that a lost one parts from it.
    torn: usize,
    unshipped: Vec<Entry>,
    ended: HashSet<(Arc<str>, u32)>,
}

impl Walk<'_> {
    fn all(&mut self) -> Result<(), Error> {
        let numbers = files::numbers(self.folder).map_err(|e| failed(self.folder, e))?;
        let Some(newest) = numbers.last().copied() else {
            return Ok(());
        };
        let expected = self.next;
        for number in numbers {
            let path = files::path(self.folder, number);
            let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
            // It has had its head before it had its name.
            let Some(head) = Head::read(&bytes) else {
                return Err(self.damaged("a segment has no head"));
            };
            self.segment(number, head, bytes, number == newest)?;
        }
        if self.next < expected {
            let ends = self.next - 1;
            let has = expected - 1;
            return Err(self.damaged(&format!(
                "it ends with row {ends}, but the store has row {has}: it is an old copy"
            )));
        }
        Ok(())
    }

    fn segment(
        &mut self,
        number: u64,
        head: Head,
        mut bytes: Vec<u8>,
        is_newest: bool,
    ) -> Result<(), Error> {
        if self.segments.is_empty() {
            // Rows before the first segment are in the store, or nowhere.
            if head.first > self.next {
                let (first, next) = (head.first, self.next);
                return Err(self.damaged(&format!(
                    "it begins with row {first}, but the store ends before row {next}: the store is an old copy, or another one"
                )));
            }
            (self.next, self.chain) = (head.first, head.chain);
        } else if (head.first, head.chain) != (self.next, self.chain) {
            let next = self.next;
            return Err(self.damaged(&format!("row {next} is damaged or missing")));
        }
        self.segments.push_back((number, head.first));
        let mut at = HEAD;
        for (_, record) in records(&bytes) {
            self.record(&record)?;
            at += record.length;
        }
        if is_newest {
            // A row that had been synced does not go in a crash.
            let behind = Record::find_behind(&bytes[at..], self.next);
            self.torn = behind.as_ref().map_or(0, |_| bytes.len() - at);
            if behind.is_some_and(|later| later.synced >= self.next) {
                return Err(self.damaged(&format!("row {} is damaged", self.next)));
            }
            bytes.truncate(at);
            self.newest = bytes;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), Error> {
        let seq = self.next;
        if !record.is_sealed(self.key, &self.chain, seq) {
            return Err(self.damaged(&format!(
                "row {seq} was altered, or sealed with another secret"
            )));
        }
        let row = decode(record.row)
            .ok_or_else(|| self.damaged(&format!("row {seq} is of another version of rungs")))?;
        (self.next, self.chain) = (seq + 1, record.chain);
        match self.last {
            Some((last, chain)) if seq == last && chain != record.chain => {
                return Err(self.damaged(&format!(
                    "its row {seq} is not the one that the store has: they do not belong together"
                )));
            }
            Some((last, _)) if seq <= last => {}
            _ => self.unshipped.push(Entry {
                seq,
                chain: record.chain,
                row: row.clone(),
            }),
        }
        self.ended.insert((row.request, row.attempt));
        Ok(())
    }

    fn damaged(&self, why: &str) -> Error {
        Error::internal(format!(
            "the journal {} cannot be used: {why}. Nothing was changed; restore it together with its store, or move it away and lose what it has not shipped",
            self.folder.display()
        ))
    }
}
