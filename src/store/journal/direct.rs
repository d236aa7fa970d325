//! Writes past the page cache, which are on the disk when they return: a third less processor time than a write and a sync.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// What is written begins and ends at a multiple of so many bytes, in the file and in memory: no disk wants more.
const BLOCK: usize = 4096;

/// So much is written at a time; for what is longer it makes no difference.
const ROOM: usize = 16 * BLOCK;

/// The end of a file, open for such writes.
pub(super) struct Direct {
    file: File,
    buffer: Vec<u8>,
    /// Where the room begins in the buffer. Its first bytes are those of the block in which the file ends.
    aligned: usize,
}

impl Direct {
    /// Opens the file at `path`, of which all before `at` is written; `None` where there are no such writes.
    pub(super) fn open(path: &Path, at: usize) -> Option<Self> {
        let buffer = vec![0; ROOM + BLOCK];
        let mut direct = Self {
            file: open(path).ok()?,
            aligned: buffer.as_ptr().align_offset(BLOCK),
            buffer,
        };
        direct.seek(at).ok()?;
        let block = direct.aligned..direct.aligned + BLOCK;
        direct.file.read_exact(&mut direct.buffer[block]).ok()?;
        Some(direct)
    }

    /// Whether `bytes` are few enough to be written at once.
    pub(super) fn has_room(&self, bytes: &[u8], at: usize) -> bool {
        at % BLOCK + bytes.len() <= ROOM
    }

    /// Writes `bytes` at `at`, where the file ends, and zeros up to a whole block. After an error nothing is known about what is
    /// behind `at`.
    pub(super) fn write(&mut self, bytes: &[u8], at: usize) -> io::Result<()> {
        let end = at % BLOCK + bytes.len();
        let padded = end.next_multiple_of(BLOCK);
        let room = &mut self.buffer[self.aligned..][..padded];
        room[at % BLOCK..end].copy_from_slice(bytes);
        room[end..].fill(0);
        self.seek(at)?;
        self.file
            .write_all(&self.buffer[self.aligned..][..padded])?;
        let last = end - end % BLOCK;
        self.buffer[self.aligned..].copy_within(last..padded, 0);
        Ok(())
    }

    /// Something else has written `bytes` at `at`, where the file ended.
    pub(super) fn note(&mut self, bytes: &[u8], at: usize) {
        let end = (at + bytes.len()) % BLOCK;
        let of_last = &bytes[bytes.len().saturating_sub(end)..];
        self.buffer[self.aligned..][end - of_last.len()..end].copy_from_slice(of_last);
    }

    /// Goes to the start of the block that `at` is in.
    fn seek(&mut self, at: usize) -> io::Result<()> {
        let start = at - at % BLOCK;
        self.file.seek(SeekFrom::Start(start as u64)).map(drop)
    }
}

#[cfg(target_os = "linux")]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.custom_flags(libc::O_DIRECT | libc::O_DSYNC);
    options.read(true).write(true).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
