//! The files of a spool: a record is appended to the newest, and the oldest goes when nothing in it is needed any more.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::layout::{DONE, Record};
use crate::{
    error::{Error, ErrorKind},
    store::{fail_point::fail_point, numbered},
};

const KIND: &str = "spool";

/// A file that is longer is left, and another begun.
const LONG: u64 = 4 << 20;

/// One that is longer, and needed no more, is emptied at once; a shorter one when nothing is to be done.
const EMPTIED: u64 = 1 << 20;

pub(super) struct Files {
    folder: PathBuf,
    /// Oldest first.
    all: VecDeque<Part>,
    newest: File,
    at: u64,
    /// The folder has other files than it is known to have after a power loss.
    changed: bool,
    /// The records that are not done with.
    open: BTreeSet<u64>,
}

/// A file.
#[derive(Clone, Copy)]
struct Part {
    number: u64,
    /// Its first record.
    first: u64,
    /// Its length, once it is left.
    length: u64,
}

/// What was found in a folder.
pub(super) struct Found {
    pub(super) files: Files,
    /// The number of the next record.
    pub(super) next: u64,
    /// Number, kind and bytes of each record that is not done with.
    pub(super) left: Vec<(u64, u8, Vec<u8>)>,
}

impl Files {
    pub(super) fn open(folder: &Path) -> Result<Found, Error> {
        let mut left = BTreeMap::new();
        let (mut all, mut next, mut at) = (VecDeque::new(), 1, 0);
        let numbers = numbered::numbers(folder, KIND).map_err(|e| failed(folder, e))?;
        for number in &numbers {
            let path = path(folder, *number);
            let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
            all.push_back(Part {
                number: *number,
                first: next,
                length: bytes.len() as u64,
            });
            let mut rest = &*bytes;
            while let Some((record, behind)) = Record::read(rest) {
                next = next.max(record.number + 1);
                match record.kind {
                    DONE => drop(left.remove(&record.number)),
                    kind => drop(left.insert(record.number, (kind, record.bytes.to_vec()))),
                }
                rest = behind;
            }
            if !rest.is_empty() && numbers.last() != Some(number) {
                return Err(damaged(&path));
            }
            at = (bytes.len() - rest.len()) as u64;
        }
        let number = numbers.last().copied().unwrap_or(1);
        // The last is gone on with.
        let first = all.pop_back().map_or(next, |last: Part| last.first);
        all.push_back(Part {
            number,
            first,
            length: 0,
        });
        let path = path(folder, number);
        let newest = begin(&path, at).map_err(|e| failed(&path, e))?;
        let mut files = Self {
            folder: folder.to_owned(),
            all,
            newest,
            at,
            changed: true,
            open: left.keys().copied().collect(),
        };
        // What a process left that was killed lasts from now on.
        files.sync()?;
        let left = left
            .into_iter()
            .map(|(number, (kind, bytes))| (number, kind, bytes));
        Ok(Found {
            files,
            next,
            left: left.collect(),
        })
    }

    /// Appends bytes; they survive the end of this process.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Err(error) = self.newest.write_all(bytes) {
            // What went out in part is written over.
            let _ = self.newest.seek(SeekFrom::Start(self.at));
            return Err(failed(&self.folder, error));
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// What was appended, and what files there are, survives a power loss.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        fail_point("spool.sync")?;
        let synced = self.newest.sync_data().and_then(|()| match self.changed {
            true => numbered::keep_name(&path(&self.folder, self.newest())),
            false => Ok(()),
        });
        self.changed = false;
        synced.map_err(|e| failed(&self.folder, e))
    }

    pub(super) fn note(&mut self, number: u64) {
        self.open.insert(number);
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// The bytes of all files, also of records that are done with and stand behind one that is not.
    pub(super) fn weight(&self) -> u64 {
        self.at + self.all.iter().map(|part| part.length).sum::<u64>()
    }

    /// Whether the newest file is so long that another should begin.
    pub(super) fn is_long(&self) -> bool {
        self.at >= LONG
    }

    /// Whether there are bytes that nobody needs.
    pub(super) fn is_spent(&self) -> bool {
        self.open.is_empty() && self.at > 0
    }

    /// Whether there are so many of them that they should go at once.
    pub(super) fn is_heavy(&self) -> bool {
        self.is_spent() && self.at > EMPTIED
    }

    /// Lets the oldest file go if it is not needed; says whether there was such a one. It must be synced before another goes, or is
    /// emptied: what is done in this one may be said in that one alone.
    pub(super) fn remove(&mut self) -> io::Result<bool> {
        let needed = self.open.first().copied().unwrap_or(u64::MAX);
        let [oldest, next, ..] = *self.all.make_contiguous() else {
            return Ok(false);
        };
        if next.first > needed {
            return Ok(false);
        }
        fs::remove_file(path(&self.folder, oldest.number))?;
        self.all.pop_front();
        self.changed = true;
        Ok(true)
    }

    /// Empties the newest file, when nothing is needed. That lasts when it is synced.
    pub(super) fn empty(&mut self) -> io::Result<()> {
        self.newest.set_len(0)?;
        self.newest.seek(SeekFrom::Start(0))?;
        self.at = 0;
        Ok(())
    }

    /// Goes on in another file, after this one was synced: nothing that is newer may survive what this does not. The first record
    /// there is `first`.
    pub(super) fn turn(&mut self, first: u64) -> Result<(), Error> {
        let number = self.newest() + 1;
        let path = path(&self.folder, number);
        self.newest = begin(&path, 0).map_err(|e| failed(&path, e))?;
        if let Some(left) = self.all.back_mut() {
            left.length = self.at;
        }
        self.at = 0;
        self.changed = true;
        self.all.push_back(Part {
            number,
            first,
            length: 0,
        });
        Ok(())
    }

    fn newest(&self) -> u64 {
        self.all.back().map_or(0, |part| part.number)
    }
}

/// A file to go on with at `at`; what stands behind that is torn. Nobody else reads what was said.
fn begin(path: &Path, at: u64) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    Ok(file)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    numbered::path(folder, number, KIND)
}

fn damaged(path: &Path) -> Error {
    Error::internal(format!(
        "the spool {} is damaged: what conversations and repeated calls left there cannot be read. Nothing was changed; restore it, \
         or move it away and lose what it holds",
        path.display()
    ))
}

pub(super) fn failed(path: &Path, error: io::Error) -> Error {
    let what = format!("the spool {} fails: {error}", path.display());
    Error::new(ErrorKind::Unavailable, what).with_source(error)
}
