//! Folders for files that nobody needs afterwards.

use std::{
    fs::{self, DirBuilder},
    io, mem,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, PoisonError},
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

    /// Waits until all that were dropped are removed: they are not, if the process ends before. Blocks.
    pub(crate) fn all_gone() {
        let going = GOING.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = FEWER.wait_while(going, |going| *going > 0);
        drop(gone.unwrap_or_else(PoisonError::into_inner));
    }
}

/// How many are being removed; told when they are fewer.
static GOING: Mutex<usize> = Mutex::new(0);
static FEWER: Condvar = Condvar::new();

/// One that is being removed.
struct Removal(PathBuf);

impl Drop for TempFolder {
    /// However much a program has left, nobody waits here: whoever drops this may be all that serves a core.
    fn drop(&mut self) {
        let path = mem::take(&mut self.0);
        let removal = Removal::of(path.clone());
        let started = thread::Builder::new()
            .name("removal".into())
            .spawn(move || removal.carry_out());
        if started.is_err() {
            // Then somebody waits after all; what is still written to stays among the files that are temporary anyway.
            is_gone(&path);
        }
    }
}

impl Removal {
    fn of(path: PathBuf) -> Self {
        *GOING.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(path)
    }

    fn carry_out(self) {
        let mut tries = 0..TRIES;
        let gone = tries.any(|_| {
            is_gone(&self.0) || {
                thread::sleep(PAUSE);
                false
            }
        });
        if !gone {
            tracing::warn!(path = %self.0.display(), "a folder for temporary files cannot be removed");
        }
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        *GOING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FEWER.notify_all();
    }
}

fn is_gone(path: &Path) -> bool {
    match fs::remove_dir_all(path) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn nobody_waits_for_the_removal_of_what_a_program_has_left() {
        let folder = TempFolder::new("rungs-test").unwrap();
        for n in 0..20_000 {
            fs::File::create(folder.path().join(n.to_string())).unwrap();
        }
        let path = folder.path().to_owned();
        let began = Instant::now();
        drop(folder);
        let stood_still = began.elapsed();
        TempFolder::all_gone();
        assert!(!path.exists());
        let removed = began.elapsed();
        assert!(stood_still * 4 < removed, "{stood_still:?} of {removed:?}");
    }
}
