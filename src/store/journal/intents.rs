//! The attempts under way, a slot each, for the start after a crash.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    codec::{decode, encode},
    files::failed,
};
use crate::{
    error::Error,
    store::{LedgerRow, fail_point::fail_point},
};

/// The size of a slot, in bytes: four fit a page of memory.
const SLOT: usize = 1024;

/// Length and checksum stand before the bytes of a row.
const HEAD: usize = 8;

/// A file of slots. A slot is free again when the attempt's row is written.
///
/// No attempt waits for a sync of it: it is there for the end of a process, not of the machine.
pub(super) struct Intents {
    path: PathBuf,
    file: File,
    slots: Mutex<Slots>,
}

/// Why an attempt is not written down.
pub(super) enum Unwritten {
    /// The names in its row are longer than a slot: a fault of that call alone.
    TooLong,
    /// The disk does not take it.
    Disk(Error),
}

#[derive(Default)]
struct Slots {
    /// Those that are free and still say what was in them.
    stale: Vec<u32>,
    /// Those that are free and empty.
    empty: Vec<u32>,
    /// How many there are.
    count: u32,
}

impl Intents {
    /// Opens the file in `folder`; also what the last process left in it, slot by slot. Those are to be closed when their rows are written.
    pub(super) fn open_file(folder: &Path) -> Result<(Self, Vec<(u32, LedgerRow)>), Error> {
        let path = path(folder);
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| failed(&path, e))?;
        let rows = rows(&path).map_err(|e| failed(&path, e))?;
        let mut slots = Slots::default();
        let mut left = Vec::new();
        for row in rows {
            match row {
                Some(row) => left.push((slots.count, row)),
                None => slots.stale.push(slots.count),
            }
            slots.count += 1;
        }
        let intents = Self {
            path,
            file,
            slots: Mutex::new(slots),
        };
        Ok((intents, left))
    }

    /// Writes down an attempt; it survives the end of the process.
    pub(super) fn open(&self, row: &LedgerRow) -> Result<u32, Unwritten> {
        let mut bytes = slot_of(row);
        if bytes.len() > SLOT {
            // Long names that a client chose. What counts is who pays.
            let short = LedgerRow {
                user: None,
                conversation: None,
                ..row.clone()
            };
            bytes = slot_of(&short);
        }
        if bytes.len() > SLOT {
            return Err(Unwritten::TooLong);
        }
        let length = u32::try_from(bytes.len()).expect("a slot is short");
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        let slot = self.slots().take();
        let written = fail_point("journal.begin")
            .and_then(|()| self.write(slot, &bytes).map_err(|e| failed(&self.path, e)));
        match written {
            Ok(()) => Ok(slot),
            Err(error) => {
                self.slots().stale.push(slot);
                Err(Unwritten::Disk(error))
            }
        }
    }

    /// The attempt's row is written. The slot is not emptied yet: the next attempt will write over it.
    pub(super) fn close(&self, slots: impl IntoIterator<Item = u32>) {
        self.slots().stale.extend(slots);
    }

    /// Empties the slots that no attempt has taken since. To be done, and [synced](Self::sync), before the segments with their rows
    /// go, which are all that tells that those attempts have ended.
    pub(super) fn tidy(&self) -> Result<(), Error> {
        let stale = std::mem::take(&mut self.slots().stale);
        let written = stale
            .iter()
            .try_for_each(|slot| self.write(*slot, &[0; HEAD]));
        let mut slots = self.slots();
        match written {
            Ok(()) => slots.empty.extend(stale),
            Err(_) => slots.stale.extend(stale),
        }
        written.map_err(|e| failed(&self.path, e))
    }

    /// What was emptied stays so after a power loss.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|e| failed(&self.path, e))
    }

    fn write(&self, slot: u32, bytes: &[u8]) -> io::Result<()> {
        write_at(&self.file, bytes, u64::from(slot) * SLOT as u64)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn take(&mut self) -> u32 {
        let free = self.stale.pop().or_else(|| self.empty.pop());
        free.unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }
}

/// Where the file of a journal in `folder` is.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("open")
}

/// What the slots of such a file say, in their order; `None` where one is empty, or is being written.
pub(super) fn rows(path: &Path) -> io::Result<Vec<Option<LedgerRow>>> {
    Ok(std::fs::read(path)?.chunks(SLOT).map(read).collect())
}

/// The bytes of a row behind room for the head.
fn slot_of(row: &LedgerRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT);
    bytes.resize(HEAD, 0);
    encode(row, &mut bytes);
    bytes
}

/// The row in a slot; `None` if it is empty, or was being written.
fn read(slot: &[u8]) -> Option<LedgerRow> {
    let length = u32::from_le_bytes(slot.get(4..8)?.try_into().ok()?);
    let bytes = slot.get(..usize::try_from(length).ok()?)?;
    let sum = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let whole = bytes.len() > HEAD && sum == crc32c::crc32c(&bytes[4..]);
    whole.then(|| decode(&bytes[HEAD..])).flatten()
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    match std::os::windows::fs::FileExt::seek_write(file, bytes, at)? {
        written if written == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
