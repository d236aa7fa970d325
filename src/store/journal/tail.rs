//! The end of the newest segment, where records go.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

use super::{direct::Direct, segment::SIZE};
use crate::store::{Durability, fail_point::fail_point};

pub(super) struct Tail {
    file: File,
    /// Where the next record goes.
    at: usize,
    /// Whether all before that is on the disk.
    synced: bool,
    /// `None` where it does not work.
    direct: Option<Direct>,
}

impl Tail {
    /// Opens the segment at `path`, where the next record goes to `at`.
    pub(super) fn open(path: &Path, at: usize) -> io::Result<Self> {
        Ok(Self {
            file: File::options().read(true).write(true).open(path)?,
            at,
            synced: false,
            direct: Direct::open(path, at),
        })
    }

    /// Whether `length` more bytes go into the segment.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.at + length <= SIZE
    }

    /// Appends bytes, and tells what they survive from now on, with all before them: what is `wanted` if that can be had with one
    /// write, else the end of the process.
    pub(super) fn write(&mut self, bytes: &[u8], wanted: Durability) -> io::Result<Durability> {
        self.synced = self.synced && wanted == Durability::PowerLoss && self.write_synced(bytes);
        if !self.synced {
            // What went out in part is written over.
            self.file.seek(SeekFrom::Start(self.at as u64))?;
            self.file.write_all(bytes)?;
            if let Some(direct) = &mut self.direct {
                direct.note(bytes, self.at);
            }
        }
        self.at += bytes.len();
        Ok(match self.synced {
            true => Durability::PowerLoss,
            false => Durability::Crash,
        })
    }

    /// What was appended survives a power loss.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced = true;
        Ok(())
    }

    fn write_synced(&mut self, bytes: &[u8]) -> bool {
        let at = self.at;
        let Some(direct) = self.direct.as_mut().filter(|it| it.has_room(bytes, at)) else {
            return false;
        };
        let written = fail_point("journal.direct").is_ok() && direct.write(bytes, at).is_ok();
        if !written {
            // What is wrong, if it is not this way of writing, shows when it is written in the other.
            self.direct = None;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A segment with something left in it of an earlier use.
    fn used() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; SIZE]).unwrap();
        file
    }

    /// How long some bytes are, how safe they are to be, and whether a sync follows.
    fn step() -> impl Strategy<Value = (usize, Durability, bool)> {
        let length = prop_oneof![1..700usize, 4_000..4_200usize, 60_000..140_000usize];
        let wanted = prop_oneof![Just(Durability::Crash), Just(Durability::PowerLoss)];
        (length, wanted, any::<bool>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_in_turns_stands_in_a_row(
            start in prop_oneof![0..10_000usize, SIZE - 50_000..SIZE],
            steps in prop::collection::vec(step(), 1..20),
        ) {
            let segment = used();
            let mut tail = Tail::open(segment.path(), start).unwrap();
            let mut expected = vec![7; start];
            tail.sync().unwrap();
            let mut synced = true;
            for (number, (length, wanted, sync)) in (1..).zip(steps) {
                if !tail.has_room(length) {
                    break;
                }
                let bytes = vec![number; length];
                let direct = tail.direct.is_some();
                let at_once = expected.len() % 4_096 + length <= 16 * 4_096;
                let survives = tail.write(&bytes, wanted).unwrap();
                expected.extend(bytes);
                synced &= wanted == Durability::PowerLoss && direct && at_once;
                prop_assert_eq!(survives == Durability::PowerLoss, synced);
                if sync {
                    tail.sync().unwrap();
                    synced = true;
                }
            }
            let found = std::fs::read(segment.path()).unwrap();
            prop_assert_eq!(found.len(), SIZE);
            prop_assert!(found.starts_with(&expected));
        }
    }

    #[test]
    fn a_linux_file_is_written_past_the_cache() {
        let segment = used();
        let mut tail = Tail::open(segment.path(), 40).unwrap();
        tail.sync().unwrap();
        let survives = tail.write(b"row", Durability::PowerLoss).unwrap();
        let expected = match cfg!(target_os = "linux") {
            true => Durability::PowerLoss,
            false => Durability::Crash,
        };
        assert_eq!(survives, expected);
    }
}
