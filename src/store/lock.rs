use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// Makes this process the owner of a file or folder until the lock is dropped; `None` if another is.
///
/// A lock of our own, and not SQLite's exclusive mode: the rungs command line and other programs may still read.
pub(super) fn take(owned: &Path) -> Result<Option<File>, Error> {
    take_as(owned, "lock")
}

/// The same with a lock of another name: `<file>.<name>`.
pub(super) fn take_as(owned: &Path, name: &str) -> Result<Option<File>, Error> {
    let path = lock_file(owned, name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| cannot_lock(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(cannot_lock(&path, e)),
    }
}

/// `<file>.<name>` beside the real file, whatever links lead to it.
fn lock_file(owned: &Path, name: &str) -> PathBuf {
    let real = owned.canonicalize().unwrap_or_else(|_| owned.to_path_buf());
    let mut path = OsString::from(real);
    path.push(".");
    path.push(name);
    path.into()
}

fn cannot_lock(path: &Path, error: io::Error) -> Error {
    Error::internal(format!("cannot open {}: {error}", path.display())).with_source(error)
}
