//! Folders that tools may see, opened once.

mod files;
mod list;
mod opened;
mod place;
mod protected;

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};
use rungs::{Error, ErrorKind};

pub(crate) use files::Text;
pub(crate) use list::{Entry, Listing};
pub(crate) use opened::OpenFolder;
pub(crate) use place::Place;
pub(crate) use protected::{Protected, not_written};

use super::{fenced::FencedThread, landlock::Fence};

/// Folders, and the only thread that touches files in them. It has put itself behind the kernel's fence before the first one: were a
/// path ever to lead out of its root, the kernel would not open it.
#[derive(Clone)]
pub(crate) struct Roots {
    thread: FencedThread<Handles>,
    folders: Arc<[Folder]>,
}

/// A root: what it is called and where it is.
#[derive(Debug)]
struct Folder {
    name: String,
    path: PathBuf,
}

/// What the thread works with.
struct Handles {
    roots: Vec<Root>,
    protected: Protected,
    reach: Reach,
    #[cfg(test)]
    first_wall: FirstWall,
}

struct Root {
    path: PathBuf,
    dir: Dir,
}

/// What tools may do in roots at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Read,
    Change,
}

/// Tests take the first wall away, to see that the second holds alone.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstWall {
    Stands,
    Removed,
}

impl Roots {
    /// Opens `paths`. The first is the root of paths that name none; each is called by the last part of its path.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a path is no folder, or if two have one name.
    pub(crate) fn open(
        paths: &[PathBuf],
        protected: Protected,
        reach: Reach,
    ) -> Result<Self, Error> {
        Self::start(
            paths,
            protected,
            reach,
            #[cfg(test)]
            FirstWall::Stands,
        )
    }

    #[cfg(test)]
    pub(crate) fn without_first_wall(paths: &[PathBuf]) -> Self {
        Self::start(
            paths,
            Protected::default(),
            Reach::Change,
            FirstWall::Removed,
        )
        .expect("folders")
    }

    fn start(
        paths: &[PathBuf],
        protected: Protected,
        reach: Reach,
        #[cfg(test)] first_wall: FirstWall,
    ) -> Result<Self, Error> {
        let mut folders: Vec<Folder> = Vec::new();
        let mut roots = Vec::new();
        for path in paths {
            let shown = path.display();
            let cannot = |error| {
                Error::invalid(format!("the root `{shown}` cannot be opened")).with_source(error)
            };
            let path = path.canonicalize().map_err(cannot)?;
            let dir = Dir::open_ambient_dir(&path, ambient_authority()).map_err(cannot)?;
            let name = path
                .file_name()
                .map_or("/".into(), |name| name.to_string_lossy().into_owned());
            if folders.iter().any(|folder| folder.name == name) {
                return Err(Error::invalid(format!("two roots are called `{name}`")));
            }
            roots.push(Root {
                path: path.clone(),
                dir,
            });
            folders.push(Folder { name, path });
        }
        if folders.is_empty() {
            return Err(Error::invalid("there is no root"));
        }
        let handles = Handles {
            roots,
            protected,
            reach,
            #[cfg(test)]
            first_wall,
        };
        let mut fence = Fence::default();
        for root in &handles.roots {
            fence.reach(&root.path, reach);
        }
        let thread = FencedThread::start("files", fence, || Ok::<_, Infallible>(handles))?;
        let Ok(thread) = thread;
        Ok(Self {
            thread,
            folders: folders.into(),
        })
    }

    /// The names of all roots.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(|folder| &*folder.name)
    }

    /// Where a root is; the first if none is named.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none of this name; the message has all names.
    pub(crate) fn path(&self, root: Option<&str>) -> Result<&Path, Error> {
        Ok(&self.folders[self.number(root)?].path)
    }

    fn number(&self, root: Option<&str>) -> Result<usize, Error> {
        let Some(root) = root else { return Ok(0) };
        let found = self.folders.iter().position(|folder| folder.name == root);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            let message = format!("there is no root `{root}`; there is {}", names.join(", "));
            Error::new(ErrorKind::NotFound, message).param("root")
        })
    }

    /// The text of a file from line `first`, counted from 1: at most 1 MiB of it, and `lines` lines.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Forbidden`] for what leads out of the root or is the gateway's own, [`ErrorKind::Invalid`] for
    /// what is no file of text.
    pub(crate) async fn read(
        &self,
        root: Option<&str>,
        place: Place,
        first: usize,
        lines: Option<usize>,
    ) -> Result<Text, Error> {
        self.on(root, move |handles, root| {
            handles.read(root, &place, first, lines)
        })
        .await
    }

    /// Makes `text` the content of a file, all at once; whoever reads meanwhile sees the old one. Says whether the file is new.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and [`ErrorKind::TooLarge`] above 4 MiB.
    pub(crate) async fn write(
        &self,
        root: Option<&str>,
        place: Place,
        text: String,
    ) -> Result<bool, Error> {
        self.on(root, move |handles, root| {
            handles.write(root, &place, &text)
        })
        .await
    }

    /// What is in a folder, `depth` folders deep, sorted, at most `most` entries.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) async fn list(
        &self,
        root: Option<&str>,
        place: Place,
        depth: usize,
        most: usize,
    ) -> Result<Listing, Error> {
        self.on(root, move |handles, root| {
            handles.list(root, place, depth, most)
        })
        .await
    }

    /// The folder that `text` names, held open: a root, one below it as `root/folder`, or one below the first root as `folder`. The first
    /// root if it is empty.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and others as for [`read`](Self::read), with `root` as what is wrong.
    pub(crate) async fn folder(&self, text: &str) -> Result<OpenFolder, Error> {
        let named = self.names().find_map(|name| {
            let below = text.strip_prefix(name)?;
            let is_whole = below.is_empty() || below.starts_with('/');
            is_whole.then(|| (name.to_owned(), below.trim_start_matches('/')))
        });
        let (root, below) = match named {
            Some((root, below)) => (Some(root), below),
            None => (None, text),
        };
        let open = async {
            let place = Place::parse(below)?;
            let open = move |handles: &Handles, root: &Root| {
                let opened = handles.folder(root, place.as_path());
                opened.map_err(|error| refused(&place, error))
            };
            self.on(root.as_deref(), open).await
        };
        let opened = open.await.map_err(|error| error.param("root"))?;
        Ok(opened.into())
    }

    async fn on<T: Send + 'static>(
        &self,
        root: Option<&str>,
        job: impl FnOnce(&Handles, &Root) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let number = self.number(root)?;
        let job = move |handles: &mut Handles| job(handles, &handles.roots[number]);
        self.thread.run(job).await
    }
}

/// An error of the system as one for the client. What the system says can have paths in it, and stays in the log.
fn refused(place: &Place, error: io::Error) -> Error {
    let path = place.to_text();
    let (kind, why) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "does not exist"),
        io::ErrorKind::NotADirectory => {
            (ErrorKind::Invalid, "is below something that is no folder")
        }
        io::ErrorKind::IsADirectory => (ErrorKind::Invalid, "is a folder"),
        io::ErrorKind::PermissionDenied => (ErrorKind::Forbidden, "is out of reach"),
        _ if error.raw_os_error() == Some(libc::ELOOP) => (
            ErrorKind::Forbidden,
            "leads over a link, which is not followed here",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Unavailable, "does not fit: the disk is full")
        }
        _ => (ErrorKind::Internal, "could not be used"),
    };
    Error::new(kind, format!("`{path}` {why}"))
        .param("path")
        .with_source(error)
}
