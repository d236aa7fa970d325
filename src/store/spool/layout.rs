//! The bytes of a spool: records one behind the other, each with a checksum, so that the end that a crash tore off shows.

/// Checksum, length, number and kind stand before the bytes of a record.
const HEAD: usize = 4 + 4 + 8 + 1;

/// How many bytes a record of these takes.
pub(super) fn length(bytes: &[u8]) -> u64 {
    (HEAD + bytes.len()) as u64
}

/// The kind of a record that says that another is done with. Every other kind is a topic.
pub(super) const DONE: u8 = 0;

/// A record as it stands in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) number: u64,
    pub(super) kind: u8,
    pub(super) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// `None` for more than can be told apart from what is torn: four gibibytes.
    pub(super) fn append(&self, to: &mut Vec<u8>) -> Option<()> {
        let length = u32::try_from(self.bytes.len()).ok()?;
        let start = to.len();
        to.extend_from_slice(&[0; 4]);
        to.extend_from_slice(&length.to_le_bytes());
        to.extend_from_slice(&self.number.to_le_bytes());
        to.push(self.kind);
        to.extend_from_slice(self.bytes);
        let sum = crc32c::crc32c(&to[start + 4..]);
        to[start..start + 4].copy_from_slice(&sum.to_le_bytes());
        Some(())
    }

    /// How many bytes are appended.
    pub(super) fn length(&self) -> u64 {
        length(self.bytes)
    }

    /// The whole record at the start of `from`, and what stands behind it; `None` if there is none.
    pub(super) fn read(from: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (sum, rest) = from.split_first_chunk()?;
        let length = u32::from_le_bytes(*rest.first_chunk()?);
        let end = HEAD - 4 + usize::try_from(length).ok()?;
        let (record, behind) = rest.split_at_checked(end)?;
        if u32::from_le_bytes(*sum) != crc32c::crc32c(record) {
            return None;
        }
        let record = Self {
            number: u64::from_le_bytes(record[4..12].try_into().ok()?),
            kind: record[12],
            bytes: &record[HEAD - 4..],
        };
        Some((record, behind))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read_and_what_is_torn_is_not(
            records in prop::collection::vec((any::<u64>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 1..6),
            cut: prop::sample::Index,
        ) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for (number, kind, payload) in &records {
                Record { number: *number, kind: *kind, bytes: payload }.append(&mut bytes).unwrap();
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let mut rest = &bytes[..cut];
            let mut read = Vec::new();
            while let Some((record, behind)) = Record::read(rest) {
                read.push((record.number, record.kind, record.bytes.to_vec()));
                rest = behind;
            }
            let whole = ends.iter().filter(|end| **end <= cut).count();
            prop_assert_eq!(&read[..], &records[..whole]);
        }

        #[test]
        fn a_changed_byte_is_no_record(at: prop::sample::Index, by in 1..=255_u8) {
            let mut bytes = Vec::new();
            Record { number: 7, kind: 1, bytes: b"what was said" }.append(&mut bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert_eq!(Record::read(&bytes), None);
        }
    }
}
