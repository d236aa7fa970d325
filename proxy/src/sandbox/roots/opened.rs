use std::{io, os::fd::AsRawFd, path::Path, path::PathBuf, sync::Arc};

use cap_std::{ambient_authority, fs::Dir};

/// A folder that is held open: whatever is moved or linked into its place later, this one is meant.
#[derive(Debug, Clone)]
pub(crate) struct OpenFolder(Arc<Dir>);

impl OpenFolder {
    /// The folder at `path`, which whoever runs us has named.
    pub(crate) fn named(path: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(path, ambient_authority()).map(Self::from)
    }

    /// The handle.
    pub(crate) fn dir(&self) -> &Dir {
        &self.0
    }

    /// Where it is now, without a link in the path.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// The folder `name` in it, wherever in it a link of that name leads.
    pub(crate) fn folder(&self, name: &str) -> io::Result<Self> {
        self.0.open_dir(name).map(Self::from)
    }
}

impl From<Dir> for OpenFolder {
    fn from(dir: Dir) -> Self {
        Self(Arc::new(dir))
    }
}
