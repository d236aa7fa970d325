//! A folder for the temporary files of one run.

use std::{
    fs::{self, DirBuilder},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What stands for the folder's path in arguments.
const PLACEHOLDER: &str = "{scratch}";

/// The largest file that is read from it, in bytes.
const LARGEST: u64 = 16 << 20;

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> io::Result<Self> {
        let name = format!("rungs-{}", uuid::Uuid::now_v7());
        let path = std::env::temp_dir().canonicalize()?.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn fill(&self, text: &str) -> String {
        text.replace(PLACEHOLDER, &self.0.to_string_lossy())
    }

    /// The text of a file that the program has left right in it. What a program leaves is not to be trusted: a link
    /// is not followed, and what is no file, or too large, is refused.
    pub(crate) fn read(&self, name: &str) -> io::Result<String> {
        let flags = (libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY) as _;
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(flags)
            .open(self.0.join(name))?;
        let facts = file.metadata()?;
        if !facts.is_file() || facts.len() > LARGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The program may have left it in any state; what is left is in a folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
