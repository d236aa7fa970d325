//! A folder for the temporary files of one run.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::TempFolder;

/// What stands for the folder's path in arguments.
const PLACEHOLDER: &str = "{scratch}";

/// The largest file that is read from it, in bytes.
const LARGEST: u64 = 16 << 20;

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(TempFolder);

impl Scratch {
    pub(super) fn new() -> io::Result<Self> {
        TempFolder::new("rungs").map(Self)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn fill(&self, text: &str) -> String {
        text.replace(PLACEHOLDER, &self.path().to_string_lossy())
    }

    /// The text of a file that the program has left right in it. What a program leaves is not to be trusted: a link
    /// is not followed, and what is no file, or too large, is refused.
    pub(crate) fn read(&self, name: &str) -> io::Result<String> {
        let flags = (libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY) as _;
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(flags)
            .open(self.path().join(name))?;
        let facts = file.metadata()?;
        if !facts.is_file() || facts.len() > LARGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
