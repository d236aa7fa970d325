//! The segment files of a journal.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

use super::{
    segment::{Head, SIZE},
    tail::Tail,
};
use crate::{
    error::{Error, ErrorKind},
    store::{Durability, fail_point::fail_point, numbered},
};

const KIND: &str = "segment";

/// So many segments stay as they are when their rows are shipped.
const KEPT: usize = 1;

/// The segments, oldest first, and the end of the last one.
pub(super) struct Files {
    folder: PathBuf,
    /// Number and first record of each.
    segments: VecDeque<(u64, u64)>,
    tail: Option<Tail>,
}

impl Files {
    /// The segments of a folder, as they were found, the last of which ends with `written`. Where a row is torn off, so many
    /// bytes behind it are wiped out: rows in them must not be taken for those that come in its place.
    pub(super) fn new(
        folder: &Path,
        segments: VecDeque<(u64, u64)>,
        written: &[u8],
        torn: usize,
    ) -> Result<Self, Error> {
        let mut files = Self {
            folder: folder.to_path_buf(),
            segments,
            tail: None,
        };
        if let Some((number, _)) = files.segments.back().copied() {
            let path = files.path(number);
            let wiped = || {
                if torn > 0 {
                    let mut file = File::options().write(true).open(&path)?;
                    file.seek(io::SeekFrom::Start(written.len() as u64))?;
                    zero(&mut file, torn)?;
                }
                Tail::open(&path, written)
            };
            files.tail = Some(wiped().map_err(|e| failed(&path, e))?);
        }
        Ok(files)
    }

    /// Whether `length` more bytes go into the segment.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.tail.as_ref().is_some_and(|tail| tail.has_room(length))
    }

    /// Whether the segment has no record yet.
    pub(super) fn is_empty(&self) -> bool {
        self.tail.as_ref().is_some_and(Tail::is_empty)
    }

    /// Appends bytes, as [`Tail::write`] does.
    pub(super) fn write(&mut self, bytes: &[u8], wanted: Durability) -> Result<Durability, Error> {
        let Some(tail) = &mut self.tail else {
            return Err(Error::internal("a journal without a segment"));
        };
        let written = tail.write(bytes, wanted);
        written.map_err(|e| failed(&self.folder, e))
    }

    /// What was appended survives a power loss.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        let synced = self.tail.as_mut().map_or(Ok(()), Tail::sync);
        synced.map_err(|e| failed(&self.folder, e))
    }

    /// Goes on in another segment, after the last one was synced: one whose rows are all shipped, or a new one.
    pub(super) fn turn(&mut self, head: Head, shipped: u64) -> Result<(), Error> {
        let number = self.segments.back().map_or(1, |(number, _)| number + 1);
        let path = self.path(number);
        let spent = self.segments.len() > KEPT
            && self
                .segments
                .get(1)
                .is_some_and(|(_, next)| *next <= shipped + 1);
        let unfinished = path.with_extension("new");
        if spent && let Some((old, _)) = self.segments.front().copied() {
            fs::rename(self.path(old), &unfinished).map_err(|e| failed(&path, e))?;
            self.segments.pop_front();
            // It must not be found under its old name with another head.
            numbered::keep_name(&path).map_err(|e| failed(&path, e))?;
        } else {
            fill(&unfinished).map_err(|e| failed(&path, e))?;
        }
        fail_point("journal.before_head")?;
        // It has its name when it has its head: whoever finds the one finds the other.
        let begun = begin(&unfinished, &path, head);
        self.tail = Some(begun.map_err(|e| failed(&path, e))?);
        self.segments.push_back((number, head.first));
        Ok(())
    }

    /// Removes segments beyond those that are kept, all of whose rows are shipped.
    pub(super) fn tidy(&mut self, shipped: u64) {
        while self.segments.len() > KEPT + 1 && self.segments[1].1 <= shipped + 1 {
            // One that stays holds up those behind it: a gap would be taken for damage.
            if fs::remove_file(self.path(self.segments[0].0)).is_err() {
                return;
            }
            self.segments.pop_front();
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        path(&self.folder, number)
    }
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    numbered::path(folder, number, KIND)
}

/// The numbers of the segments in a folder, in order.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    numbered::numbers(folder, KIND)
}

/// Makes a segment of zeros, so that later writes change no more than their own bytes.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    zero(&mut file, SIZE)?;
    file.sync_all()
}

fn zero(file: &mut File, mut length: usize) -> io::Result<()> {
    static CHUNK: [u8; 64 * 1024] = [0; 64 * 1024];
    while length > 0 {
        let now = length.min(CHUNK.len());
        file.write_all(&CHUNK[..now])?;
        length -= now;
    }
    Ok(())
}

/// Writes the head of the segment in `unfinished`, and gives it its name for good.
fn begin(unfinished: &Path, path: &Path, head: Head) -> io::Result<Tail> {
    let tail = Tail::open(unfinished, &head.to_bytes())?;
    fs::rename(unfinished, path)?;
    numbered::keep_name(path)?;
    Ok(tail)
}

/// A disk that fails: calls that cost money are turned away until it does not.
pub(super) fn failed(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the journal {} fails: {error}", path.display()),
    )
    .with_source(error)
}

/// What was read; `None` if the file, or folder, is not there: whoever looks at another process's may come too late.
pub(super) fn there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
