//! The end of the newest segment, where records go.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

use super::{
    blocks::{BLOCK, Blocks},
    segment::{HEAD, SIZE},
};
use crate::store::{Durability, fail_point::fail_point};

/// A segment that is written in two ways: through the page cache, and past it where what is written is to be on the disk at once. That
/// takes a third less processor time than a write and a sync. Either way whole blocks are written, so neither reads what the
/// other has left.
pub(super) struct Tail {
    cached: File,
    /// `None` where it does not work.
    direct: Option<File>,
    blocks: Blocks,
    /// Where the next record goes.
    at: usize,
    /// Whether all before that is on the disk.
    synced: bool,
    /// Why it is not, for the next sync to tell.
    failure: Option<io::Error>,
}

impl Tail {
    /// Opens the segment at `path`, which ends with `written`. All of that is on the disk from now on: it is written once more, because
    /// a sync proves nothing about what an earlier one has failed to write.
    pub(super) fn open(path: &Path, written: &[u8]) -> io::Result<Self> {
        let mut cached = File::options().write(true).open(path)?;
        cached.write_all(written)?;
        cached.sync_data()?;
        let at = written.len();
        Ok(Self {
            cached,
            direct: open_direct(path).ok(),
            blocks: Blocks::new(&written[at - at % BLOCK..]),
            at,
            synced: true,
            failure: None,
        })
    }

    /// Whether `length` more bytes go into the segment.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.at + length <= SIZE
    }

    /// Whether no record is in the segment.
    pub(super) fn is_empty(&self) -> bool {
        self.at == HEAD
    }

    /// Appends bytes, and tells what they survive from now on, with all before them: what is `wanted` if that can be had with one
    /// write, else the end of the process.
    pub(super) fn write(&mut self, bytes: &[u8], wanted: Durability) -> io::Result<Durability> {
        let at_once = self.synced && wanted == Durability::PowerLoss;
        self.synced = false;
        let (start, blocks) = (start(self.at), self.blocks.with(bytes));
        let direct = self.direct.as_mut().filter(|_| at_once && is_on());
        match direct.map(|file| write_at(file, blocks, start)) {
            Some(Ok(())) => self.synced = true,
            Some(Err(error)) => {
                self.direct = None;
                // It may have failed to sync what stands in the same block.
                self.failure = (!is_refusal(&error)).then_some(error);
            }
            None => {}
        }
        if !self.synced {
            write_at(&mut self.cached, blocks, start)?;
        }
        self.blocks.advance(bytes.len());
        self.at += bytes.len();
        Ok(match self.synced {
            true => Durability::PowerLoss,
            false => Durability::Crash,
        })
    }

    /// What was appended survives a power loss.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.synced = false;
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.cached.sync_data()?;
        self.synced = true;
        Ok(())
    }
}

/// Where the block begins that `at` is in.
fn start(at: usize) -> u64 {
    (at - at % BLOCK) as u64
}

fn write_at(file: &mut File, blocks: &[u8], start: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    file.write_all(blocks)
}

/// Whether it is this way of writing that fails, or what the other way can tell better, and not the disk.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, QuotaExceeded, StorageFull, Unsupported};
    matches!(
        error.kind(),
        InvalidInput | Unsupported | StorageFull | QuotaExceeded
    )
}

fn is_on() -> bool {
    fail_point("journal.direct").is_ok()
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.custom_flags(libc::O_DIRECT | libc::O_DSYNC);
    options.write(true).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::NamedTempFile;

    use super::*;

    /// A segment with something left in it of an earlier use.
    fn used() -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![0xff; SIZE]).unwrap();
        file
    }

    /// How long some bytes are, how safe they are to be, and whether a sync follows.
    fn step() -> impl Strategy<Value = (usize, Durability, bool)> {
        let length = prop_oneof![1..700usize, 4_000..4_200usize, 30_000..70_000usize];
        let wanted = prop_oneof![Just(Durability::Crash), Just(Durability::PowerLoss)];
        (length, wanted, any::<bool>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_in_turns_stands_in_a_row(
            start in prop_oneof![0..10_000usize, SIZE - 50_000..=SIZE],
            steps in prop::collection::vec(step(), 1..20),
        ) {
            let segment = used();
            let mut expected = vec![0xaa; start];
            let mut tail = Tail::open(segment.path(), &expected).unwrap();
            let mut synced = true;
            for (number, (length, wanted, sync)) in (1..).zip(steps) {
                if !tail.has_room(length) {
                    break;
                }
                let bytes = vec![number; length];
                let survives = tail.write(&bytes, wanted).unwrap();
                expected.extend(bytes);
                synced &= wanted == Durability::PowerLoss && tail.direct.is_some();
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

    /// A tail whose other way of writing leads elsewhere.
    fn leading_to(elsewhere: File) -> (NamedTempFile, Tail) {
        let segment = used();
        let mut tail = Tail::open(segment.path(), &[0; 40]).unwrap();
        tail.direct = Some(elsewhere);
        (segment, tail)
    }

    #[test]
    fn a_disk_that_fails_is_told_by_the_next_sync() {
        let elsewhere = NamedTempFile::new().unwrap();
        let (segment, mut tail) = leading_to(File::open(elsewhere.path()).unwrap());
        let survives = tail.write(b"row", Durability::PowerLoss).unwrap();
        assert_eq!(survives, Durability::Crash);
        assert_eq!(std::fs::read(segment.path()).unwrap()[40..43], *b"row");
        assert!(tail.sync().is_err());
        let later = tail.write(b"row", Durability::PowerLoss).unwrap();
        assert_eq!(later, Durability::Crash);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_refused_is_written_the_other_way() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (segment, mut tail) = leading_to(full);
        let survives = tail.write(b"row", Durability::PowerLoss).unwrap();
        assert_eq!(survives, Durability::Crash);
        assert_eq!(std::fs::read(segment.path()).unwrap()[40..43], *b"row");
        tail.sync().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_to_be_on_the_disk_is_written_past_the_cache() {
        use std::os::fd::AsRawFd;
        let segment = used();
        // Not every file system has it.
        let Ok(direct) = open_direct(segment.path()) else {
            return;
        };
        let path = format!("/proc/self/fdinfo/{}", direct.as_raw_fd());
        let told = std::fs::read_to_string(path).unwrap();
        let flags = told.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = i32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        let wanted = libc::O_DIRECT | libc::O_DSYNC;
        assert_eq!(flags & wanted, wanted, "{told}");
    }
}
