//! Folders for files that nobody needs afterwards.

use std::{
    fs::{self, DirBuilder},
    io, mem,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How often it is tried to remove one in which somebody still writes, and how long after each try.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// A new folder that is removed when this is dropped.
///
/// A program in a jail that is not waited for has a moment left, and may go on to write in it: then it is removed after that.
#[derive(Debug)]
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    /// One whose name begins with `prefix`, for this user alone.
    pub(crate) fn new(prefix: &str) -> io::Result<Self> {
        let name = format!("{prefix}-{}", uuid::Uuid::now_v7());
        let path = std::env::temp_dir().canonicalize()?.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let path = mem::take(&mut self.0);
        if is_gone(&path) {
            return;
        }
        let again = move || {
            let mut tries = 0..TRIES;
            let gone = tries.any(|_| {
                thread::sleep(PAUSE);
                is_gone(&path)
            });
            if !gone {
                tracing::warn!(path = %path.display(), "a folder for temporary files cannot be removed");
            }
        };
        // Without a thread it stays among the files that are temporary anyway.
        let _ = thread::Builder::new().name("removal".into()).spawn(again);
    }
}

fn is_gone(path: &Path) -> bool {
    match fs::remove_dir_all(path) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
