//! The files of a spool: a record is appended to the newest, and the oldest goes when nothing in it is needed any more.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::layout::{DONE, Record};
use crate::{
    error::{Error, ErrorKind},
    store::numbered,
};

const KIND: &str = "spool";

/// A file that is longer is left, and another begun.
const LONG: u64 = 4 << 20;

/// One that is longer, and needed no more, is emptied at once; a shorter one when nothing is to be done.
const EMPTIED: u64 = 1 << 20;

pub(super) struct Files {
    folder: PathBuf,
    /// Number and first record of each, oldest first.
    all: VecDeque<(u64, u64)>,
    newest: File,
    at: u64,
    /// The records that are not done with, and their lengths.
    open: BTreeMap<u64, u64>,
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
            all.push_back((*number, next));
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
        if all.is_empty() {
            all.push_back((number, next));
        }
        let path = path(folder, number);
        let newest = begin(&path, at).map_err(|e| failed(&path, e))?;
        let open = left
            .iter()
            .map(|(number, (_, bytes))| (*number, bytes.len() as u64));
        let files = Self {
            folder: folder.to_owned(),
            all,
            newest,
            at,
            open: open.collect(),
        };
        let left = left
            .into_iter()
            .map(|(number, (kind, bytes))| (number, kind, bytes));
        Ok(Found {
            files,
            next,
            left: left.collect(),
        })
    }

    /// Appends bytes; they survive the end of this process. The first record among them, or behind them, is `first`.
    pub(super) fn write(&mut self, bytes: &[u8], first: u64) -> Result<(), Error> {
        if self.at >= LONG {
            self.turn(first)?;
        }
        if let Err(error) = self.newest.write_all(bytes) {
            // What went out in part is written over.
            let _ = self.newest.seek(SeekFrom::Start(self.at));
            return Err(failed(&self.folder, error));
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// What was appended survives a power loss.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let synced = self.newest.sync_data();
        synced.map_err(|e| failed(&self.folder, e))
    }

    pub(super) fn note(&mut self, number: u64, length: usize) {
        self.open.insert(number, length as u64);
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// The bytes of records that are needed.
    pub(super) fn weight(&self) -> u64 {
        self.open.values().sum()
    }

    /// Whether there are bytes that nobody needs.
    pub(super) fn is_spent(&self) -> bool {
        self.open.is_empty() && self.at > 0
    }

    /// Lets the oldest files go that are not needed. None goes before an older one: what it says is done may stand in that.
    pub(super) fn tidy(&mut self) -> io::Result<()> {
        let needed = self
            .open
            .first_key_value()
            .map_or(u64::MAX, |(number, _)| *number);
        while self.all.get(1).is_some_and(|(_, first)| *first <= needed)
            && let Some((number, _)) = self.all.pop_front()
        {
            fs::remove_file(path(&self.folder, number))?;
        }
        match self.is_spent() && self.at > EMPTIED {
            true => self.empty(),
            false => Ok(()),
        }
    }

    /// Empties the newest file, when nothing is needed.
    pub(super) fn empty(&mut self) -> io::Result<()> {
        self.newest.set_len(0)?;
        self.newest.seek(SeekFrom::Start(0))?;
        self.at = 0;
        Ok(())
    }

    fn turn(&mut self, first: u64) -> Result<(), Error> {
        // Nothing that is newer may survive what this does not.
        self.sync()?;
        let number = self.all.back().map_or(1, |(number, _)| number + 1);
        let path = path(&self.folder, number);
        self.newest = begin(&path, 0).map_err(|e| failed(&path, e))?;
        self.at = 0;
        self.all.push_back((number, first));
        Ok(())
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
    file.sync_all()?;
    // The name must last as well.
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
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
