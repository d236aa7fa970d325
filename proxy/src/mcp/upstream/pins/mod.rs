//! What tools have said of themselves when they were first seen, or approved since: they may not say anything else.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rungs::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::{Digest, listing::Listed};
use crate::config::{Store, StoreUrl};

/// The most tools of one server that are remembered. None is forgotten by itself: it could come back as another one.
const MOST_PINS: usize = 1024;

/// All pins, by server and by its names for its tools.
type Book = BTreeMap<String, BTreeMap<String, Pin>>;

/// What is agreed to of one tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    approved: Digest,
    /// What it says now, if that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting: Option<Waiting>,
}

/// A change that nobody has agreed to yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiting {
    digest: Digest,
    /// What the tool says now, fit to be shown.
    pub(crate) description: String,
}

/// The pins of a store: in a file beside it, which other processes may change, or in memory with it.
pub(crate) struct Pins(Place);

enum Place {
    Memory(Mutex<Arc<Book>>),
    File {
        path: PathBuf,
        /// What was read last, and of which version of the file.
        read: Mutex<Option<(Version, Arc<Book>)>>,
    },
}

/// Two versions of a file differ in this; each is a new file that is put in the old one's place.
pub(super) type Version = Option<(u64, u64, SystemTime)>;

impl Pins {
    /// Those of the configured store.
    pub(crate) fn of(store: &Store) -> Self {
        match &store.url {
            StoreUrl::Memory => Self::in_memory(),
            StoreUrl::Sqlite(path) => Self::at(format!("{}.mcp.json", path.display())),
            StoreUrl::Postgres(_) => Self::at(store.folder.join("mcp.json")),
        }
    }

    /// Pins that end with this.
    pub(super) fn in_memory() -> Self {
        Self(Place::Memory(Mutex::default()))
    }

    fn at(path: impl Into<PathBuf>) -> Self {
        Self(Place::File {
            path: path.into(),
            read: Mutex::default(),
        })
    }

    /// Whether approvals outlive this process, so that another one can give them.
    pub(crate) fn are_kept(&self) -> bool {
        matches!(self.0, Place::File { .. })
    }

    /// Another one as soon as another process has changed something.
    pub(super) fn version(&self) -> Version {
        match &self.0 {
            Place::Memory(_) => None,
            Place::File { path, .. } => version(path),
        }
    }

    /// Compares what `server` lists with what is agreed to. A tool that is seen for the first time is agreed to by that, as long as
    /// there is room; gives the names of those for which there is none. It writes to a file, and waits for other processes.
    pub(super) fn review(
        &self,
        server: &str,
        tools: &[Arc<Listed>],
    ) -> Result<HashSet<String>, Error> {
        self.change(|book| {
            let pins = book.entry(server.into()).or_default();
            let mut without_room = HashSet::new();
            for tool in tools {
                if pins.len() >= MOST_PINS && !pins.contains_key(&tool.name) {
                    without_room.insert(tool.name.clone());
                    continue;
                }
                let now = &tool.digest;
                let first = || Pin {
                    approved: now.clone(),
                    waiting: None,
                };
                let pin = pins.entry(tool.name.clone()).or_insert_with(first);
                let was_waiting = pin.waiting.take();
                if pin.approved != *now {
                    let waiting = Waiting {
                        digest: now.clone(),
                        description: tool.spec.description.to_string(),
                    };
                    if was_waiting.as_ref() != Some(&waiting) {
                        tracing::warn!(
                            server,
                            tool = tool.name,
                            digest = %now,
                            "a tool says something else than before; it is not to be used until `rungs mcp approve {server} {}`",
                            tool.name
                        );
                    }
                    pin.waiting = Some(waiting);
                }
            }
            without_room
        })
    }

    /// Those of `tools` that say what was agreed to.
    pub(super) fn agreed(
        &self,
        server: &str,
        tools: &[Arc<Listed>],
    ) -> Result<Vec<Arc<Listed>>, Error> {
        let book = self.book()?;
        let pins = book.get(server);
        let agreed = |tool: &&Arc<Listed>| {
            let pin = pins.and_then(|pins| pins.get(&tool.name));
            pin.is_some_and(|pin| pin.approved == tool.digest)
        };
        Ok(tools.iter().filter(agreed).cloned().collect())
    }

    /// Agrees to what a tool was last seen to say.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if nothing waits for it.
    pub(crate) fn approve(&self, server: &str, tool: &str) -> Result<Waiting, Error> {
        let approved = self.change(|book| {
            let pin = book.get_mut(server)?.get_mut(tool)?;
            let waiting = pin.waiting.take()?;
            pin.approved = waiting.digest.clone();
            Some(waiting)
        })?;
        approved.ok_or_else(|| {
            let why = format!("no change of the tool `{tool}` of `{server}` waits for approval; `rungs mcp list` shows those that do");
            Error::new(ErrorKind::NotFound, why)
        })
    }

    fn book(&self) -> Result<Arc<Book>, Error> {
        match &self.0 {
            Place::Memory(book) => Ok(Arc::clone(
                &book.lock().unwrap_or_else(PoisonError::into_inner),
            )),
            Place::File { path, read } => {
                let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                let version = version(path);
                if let Some((known, book)) = &*read
                    && *known == version
                {
                    return Ok(Arc::clone(book));
                }
                let book = Arc::new(load(path).map_err(|e| broken(path, e))?);
                *read = Some((version, Arc::clone(&book)));
                Ok(book)
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> Result<T, Error> {
        match &self.0 {
            Place::Memory(book) => {
                let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(change(Arc::make_mut(&mut book)))
            }
            Place::File { path, .. } => changed(path, change).map_err(|e| broken(path, e)),
        }
    }
}

/// Changes the file under a lock that all processes take.
fn changed<T>(path: &Path, change: impl FnOnce(&mut Book) -> T) -> io::Result<T> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = |ending: &str| PathBuf::from(format!("{}.{ending}", path.display()));
    let lock = File::create(beside("lock"))?;
    lock.lock()?;
    let before = load(path)?;
    let mut book = before.clone();
    let result = change(&mut book);
    if book != before {
        let new = beside("new");
        let mut file = File::create(&new)?;
        serde_json::to_writer_pretty(&mut file, &book)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(new, path)?;
    }
    Ok(result)
}

/// A file that is not there has no pins; one that cannot be read is an error, because its pins are not known.
fn load(path: &Path) -> io::Result<Book> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Book::new()),
        Err(error) => Err(error),
    }
}

fn version(path: &Path) -> Version {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.modified().ok()?))
}

/// For the operator: callers are told nothing of it.
fn broken(path: &Path, error: io::Error) -> Error {
    let path = path.display();
    let why = format!(
        "`{path}`, which says what MCP tools were approved, cannot be read or written: {error}"
    );
    Error::internal(why)
}

#[cfg(test)]
mod tests;
