//! The layout of a segment: a head, then records, then zeros or what is left of an earlier use.

use super::codec::next_chain;
use crate::store::Chain;

/// The size of a segment, in bytes. Tests that stop it at places come to its end more often.
pub(super) const SIZE: usize = match cfg!(feature = "failpoints") {
    true => 128 * 1024,
    false => 4 * 1024 * 1024,
};

/// Where the first record stands.
pub(super) const HEAD: usize = 40;

const MAGIC: [u8; 8] = *b"rungs-j1";

/// Checksum, length, number, the number that was synced by then, and chain stand before the bytes of a row.
const RECORD: usize = 4 + 4 + 8 + 8 + 16;

/// What a segment continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of its first record.
    pub(super) first: u64,
    /// The chain before that.
    pub(super) chain: Chain,
}

impl Head {
    pub(super) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.chain);
        let sum = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None` if there is no whole head.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEAD)?;
        let sum = u32::from_le_bytes(bytes[32..36].try_into().ok()?);
        let whole = bytes[..8] == MAGIC && sum == crc32c::crc32c(&bytes[..32]);
        whole.then_some(Self {
            first: u64::from_le_bytes(bytes[8..16].try_into().ok()?),
            chain: bytes[16..32].try_into().ok()?,
        })
    }
}

/// Where a record goes.
pub(super) struct Place<'a> {
    pub(super) key: &'a [u8; 32],
    pub(super) seq: u64,
    pub(super) chain: &'a Chain,
    /// Up to this number everything has survived what may come: if a record of it is damaged later, that was no crash.
    pub(super) synced: u64,
}

/// Appends the record of a row, whose bytes `write` appends, and returns the chain after it.
pub(super) fn append(
    to: &mut Vec<u8>,
    place: &Place<'_>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Chain {
    let seq = place.seq;
    let start = to.len();
    to.resize(start + RECORD, 0);
    write(to);
    let chain = next_chain(place.key, place.chain, seq, &to[start + RECORD..]);
    let length = u32::try_from(to.len() - start).expect("a row is short");
    to[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    to[start + 8..start + 16].copy_from_slice(&seq.to_le_bytes());
    to[start + 16..start + 24].copy_from_slice(&place.synced.to_le_bytes());
    to[start + 24..start + 40].copy_from_slice(&chain);
    let sum = crc32c::crc32c(&to[start + 4..]);
    to[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    chain
}

/// A record as it stands in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) synced: u64,
    pub(super) chain: Chain,
    pub(super) row: &'a [u8],
    /// Its length, head included.
    pub(super) length: usize,
}

/// The whole records of a segment, as far as each stands behind the one before; with their numbers.
pub(super) fn records(segment: &[u8]) -> impl Iterator<Item = (u64, Record<'_>)> {
    let mut next = Head::read(segment).map(|head| (HEAD, head.first));
    std::iter::from_fn(move || {
        let (at, seq) = next?;
        let record = Record::read(&segment[at..], seq)?;
        next = Some((at + record.length, seq + 1));
        Some((seq, record))
    })
}

impl<'a> Record<'a> {
    /// The whole record number `seq` at the start of `bytes`; `None` if there is none.
    pub(super) fn read(bytes: &'a [u8], seq: u64) -> Option<Self> {
        let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
        let length = usize::try_from(length).ok().filter(|l| *l > RECORD)?;
        let record = bytes.get(..length)?;
        let sum = u32::from_le_bytes(record[..4].try_into().ok()?);
        if record[8..16] != seq.to_le_bytes() || sum != crc32c::crc32c(&record[4..]) {
            return None;
        }
        Some(Self {
            synced: u64::from_le_bytes(record[16..24].try_into().ok()?),
            chain: record[24..40].try_into().ok()?,
            row: &record[RECORD..],
            length,
        })
    }

    /// The next whole record with a number above `seq`, wherever in `bytes` it stands.
    pub(super) fn find_behind(bytes: &'a [u8], seq: u64) -> Option<Self> {
        let possible = seq + 1..seq + SIZE as u64;
        bytes.windows(16).enumerate().find_map(|(at, head)| {
            let number = u64::from_le_bytes(head[8..].try_into().ok()?);
            possible
                .contains(&number)
                .then(|| Self::read(&bytes[at..], number))?
        })
    }

    /// Whether it was sealed with `key`, behind `before`.
    pub(super) fn is_sealed(&self, key: &[u8; 32], before: &Chain, seq: u64) -> bool {
        self.chain == next_chain(key, before, seq, self.row)
    }
}
