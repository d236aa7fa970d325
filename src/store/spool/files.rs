//! The files of a spool: a record is appended to the newest, and the oldest goes when nothing in it is needed any more. What stays
//! long is copied from the oldest to the newest, so that it holds up no others.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::layout::{DONE, Record, length};
use crate::{
    error::{Error, ErrorKind},
    store::{fail_point::fail_point, numbered},
};

const KIND: &str = "spool";

/// A file that is longer is left, and another begun.
const LONG: u64 = 4 << 20;

/// One that is longer, and needed no more, is emptied at once; a shorter one when nothing is to be done.
const EMPTIED: u64 = 1 << 20;

/// So many bytes that nobody needs may stand behind a record that is needed, beside as many as are needed.
const SPARSE: u64 = 4 * LONG;

pub(super) struct Files {
    folder: PathBuf,
    /// Oldest first.
    all: VecDeque<Part>,
    newest: File,
    at: u64,
    /// Something may stand behind that.
    torn: bool,
    /// The folder has other files than it is known to have after a power loss.
    changed: bool,
    /// The records that are not done with.
    open: HashMap<u64, Place>,
}

/// Where a record stands that is not done with: the number of the file, and how many bytes it takes there.
#[derive(Clone, Copy)]
struct Place {
    file: u64,
    length: u64,
}

/// A file.
#[derive(Clone, Copy)]
struct Part {
    number: u64,
    /// Its length, once it is left.
    length: u64,
    /// The bytes of its records that are not done with.
    needed: u64,
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
                length: bytes.len() as u64,
                needed: 0,
            });
            let mut rest = &*bytes;
            while let Some((record, behind)) = Record::read(rest) {
                next = next.max(record.number + 1);
                match record.kind {
                    DONE => drop(left.remove(&record.number)),
                    kind => {
                        let bytes = record.bytes.to_vec();
                        left.insert(record.number, (*number, kind, bytes));
                    }
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
        all.pop_back();
        all.push_back(Part {
            number,
            length: 0,
            needed: 0,
        });
        let path = path(folder, number);
        let newest = begin(&path, at).map_err(|e| failed(&path, e))?;
        let mut files = Self {
            folder: folder.to_owned(),
            all,
            newest,
            at,
            torn: false,
            changed: true,
            open: HashMap::new(),
        };
        for (number, (file, _, bytes)) in &left {
            let length = length(bytes);
            files.keep(
                *number,
                Place {
                    file: *file,
                    length,
                },
            );
        }
        // What a process left that was killed lasts from now on.
        files.sync()?;
        let left = left
            .into_iter()
            .map(|(number, (_, kind, bytes))| (number, kind, bytes));
        Ok(Found {
            files,
            next,
            left: left.collect(),
        })
    }

    /// Appends bytes; they survive the end of this process.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.cut().and_then(|()| {
            self.torn = true;
            self.newest.write_all(bytes)
        });
        written.map_err(|e| failed(&self.folder, e))?;
        self.torn = false;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Cuts off what went out in part: what comes next may be shorter.
    fn cut(&mut self) -> io::Result<()> {
        if self.torn {
            self.newest.set_len(self.at)?;
            self.newest.seek(SeekFrom::Start(self.at))?;
            self.torn = false;
        }
        Ok(())
    }

    /// What was appended, and what files there are, survives a power loss.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        fail_point("spool.sync")?;
        let cut = self.cut();
        let synced = cut.and_then(|()| self.newest.sync_data());
        let synced = synced.and_then(|()| match self.changed {
            true => numbered::keep_name(&path(&self.folder, self.newest())),
            false => Ok(()),
        });
        self.changed = false;
        synced.map_err(|e| failed(&self.folder, e))
    }

    /// A record of so many bytes was appended, and is needed.
    pub(super) fn note(&mut self, number: u64, length: u64) {
        self.forget(number);
        let file = self.newest();
        self.keep(number, Place { file, length });
    }

    pub(super) fn forget(&mut self, number: u64) {
        if let Some(Place { file, length }) = self.open.remove(&number)
            && let Some(part) = self.part(file)
        {
            part.needed -= length;
        }
    }

    fn keep(&mut self, number: u64, place: Place) {
        self.open.insert(number, place);
        if let Some(part) = self.part(place.file) {
            part.needed += place.length;
        }
    }

    fn part(&mut self, file: u64) -> Option<&mut Part> {
        let at = self.all.binary_search_by_key(&file, |part| part.number);
        self.all.get_mut(at.ok()?)
    }

    /// The bytes of all files, also of records that are done with and stand behind one that is not.
    pub(super) fn weight(&self) -> u64 {
        self.at + self.all.iter().map(|part| part.length).sum::<u64>()
    }

    /// Whether the newest file is so long that another should begin.
    pub(super) fn is_long(&self) -> bool {
        self.at >= LONG
    }

    /// Whether there are bytes that nobody needs. While there is an older file, what is done in that is said here.
    pub(super) fn is_spent(&self) -> bool {
        self.open.is_empty() && self.at > 0 && self.all.len() == 1
    }

    /// Whether there are so many of them that they should go at once.
    pub(super) fn is_heavy(&self) -> bool {
        self.is_spent() && self.at > EMPTIED
    }

    /// Whether what is needed of the oldest file should be copied, for the sake of what is not needed behind it.
    pub(super) fn is_sparse(&self) -> bool {
        let needed: u64 = self.all.iter().map(|part| part.needed).sum();
        self.all.len() > 1 && self.weight() > 2 * needed + SPARSE
    }

    /// Copies what is needed of the oldest file to the newest. That must be synced before the oldest goes. Where both are found,
    /// they are the same record; a copy that was torn off is not missed.
    pub(super) fn copy(&mut self) -> Result<(), Error> {
        let Some(oldest) = self.all.front().copied() else {
            return Ok(());
        };
        let path = path(&self.folder, oldest.number);
        let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
        let (mut needed, mut rest) = (BTreeMap::new(), &*bytes);
        while let Some((record, behind)) = Record::read(rest) {
            let place = self.open.get(&record.number);
            if record.kind != DONE && place.is_some_and(|place| place.file == oldest.number) {
                needed.insert(record.number, record);
            }
            rest = behind;
        }
        if needed.values().map(Record::length).sum::<u64>() != oldest.needed {
            return Err(damaged(&path));
        }
        let mut copies = Vec::new();
        for record in needed.values() {
            record.append(&mut copies);
        }
        self.write(&copies)?;
        fail_point("spool.copied")?;
        for record in needed.values() {
            self.note(record.number, record.length());
        }
        Ok(())
    }

    /// Lets the oldest file go if it is not needed; says whether there was such a one. It must be synced before another goes, or is
    /// emptied: what is done in this one may be said in that one alone.
    pub(super) fn remove(&mut self) -> Result<bool, Error> {
        let [oldest, _, ..] = *self.all.make_contiguous() else {
            return Ok(false);
        };
        if oldest.needed > 0 {
            return Ok(false);
        }
        let path = path(&self.folder, oldest.number);
        fs::remove_file(&path).map_err(|e| failed(&path, e))?;
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

    /// Goes on in another file, after this one was synced: nothing that is newer may survive what this does not.
    pub(super) fn turn(&mut self) -> Result<(), Error> {
        let number = self.newest() + 1;
        let path = path(&self.folder, number);
        self.newest = begin(&path, 0).map_err(|e| failed(&path, e))?;
        if let Some(left) = self.all.back_mut() {
            left.length = self.at;
        }
        (self.at, self.torn) = (0, false);
        self.changed = true;
        self.all.push_back(Part {
            number,
            length: 0,
            needed: 0,
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
