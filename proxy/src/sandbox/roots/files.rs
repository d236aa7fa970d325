//! Reading and writing single files.

use std::{
    io::{self, BufRead, Read, Write},
    path::Path,
};

use cap_fs_ext::{DirExt, MetadataExt, OpenOptionsFollowExt};
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rmcp::schemars::{self, JsonSchema};
use rungs::{Error, ErrorKind};
use serde::Serialize;

use super::{Handles, Place, Reach, Root, protected, refused};

/// The most that is read of a file, in bytes.
const READ: usize = 1 << 20;

/// How far a file is read for its lines to be counted, in bytes.
const SKIP: u64 = 64 << 20;

/// The largest file that is written, in bytes.
const WRITE: usize = 4 << 20;

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Text {
    /// The text.
    pub(crate) text: String,
    /// The size of the whole file, in bytes.
    pub(crate) size: u64,
    /// Whether the file goes on after it.
    pub(crate) more: bool,
}

impl Handles {
    pub(super) fn read(
        &self,
        root: &Root,
        place: &Place,
        first: usize,
        lines: Option<usize>,
    ) -> Result<Text, Error> {
        let failed = |error| refused(place, error);
        let mut options = OpenOptions::new();
        // Without it a pipe that nobody writes to would hold the thread for ever.
        options
            .read(true)
            .custom_flags((libc::O_NONBLOCK | libc::O_NOCTTY) as _);
        let file = self.open(root, place.as_path(), &options).map_err(failed)?;
        let facts = file.metadata().map_err(failed)?;
        if !facts.is_file() {
            return Err(Error::invalid(format!("`{}` is no file", place.to_text())).param("path"));
        }
        if self
            .protected
            .inodes()
            .contains(&(facts.dev(), facts.ino()))
            || self.is_own(root, place)
        {
            return Err(own(place));
        }
        let skipped = first.saturating_sub(1);
        part(file, skipped, lines, facts.len()).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                Error::invalid(format!("`{}` is no text in UTF-8", place.to_text())).param("path")
            }
            io::ErrorKind::FileTooLarge => {
                let what = format!(
                    "line {first} is not in the first {} MiB of the file",
                    SKIP >> 20
                );
                Error::invalid(what).param("first_line")
            }
            _ => failed(error),
        })
    }

    pub(super) fn write(&self, root: &Root, place: &Place, text: &str) -> Result<bool, Error> {
        if text.len() > WRITE {
            return Err(Error::new(ErrorKind::TooLarge, "a file is at most 4 MiB"));
        }
        if self.reach == Reach::Read {
            return Err(Error::new(ErrorKind::Forbidden, "files may only be read"));
        }
        if let Some(what) = protected::not_written(place.as_path()) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!(
                    "`{what}` is not written by tools: other programs run or obey what is in it"
                ),
            )
            .param("path"));
        }
        if self.is_own(root, place) {
            return Err(own(place));
        }
        let failed = |error| refused(place, error);
        let Some(name) = place.as_path().file_name() else {
            return Err(Error::invalid("a root is no file").param("path"));
        };
        let parent = place.as_path().parent().unwrap_or(Path::new(""));
        let folder = self.folder_to_write(root, parent).map_err(failed)?;
        replace(&folder, Path::new(name), text).map_err(failed)
    }

    /// Opens a file beneath a root; links may be followed where they stay there.
    pub(super) fn open(&self, root: &Root, path: &Path, options: &OpenOptions) -> io::Result<File> {
        #[cfg(test)]
        if self.first_wall == super::FirstWall::Removed {
            let path = root.path.join(path);
            return File::open_ambient_with(path, options, cap_std::ambient_authority());
        }
        root.dir.open_with(path, options)
    }

    /// Opens a folder beneath a root, making it where it is missing. No link is followed: what was looked at is what is written to.
    fn folder_to_write(&self, root: &Root, path: &Path) -> io::Result<Dir> {
        #[cfg(test)]
        if self.first_wall == super::FirstWall::Removed {
            let path = root.path.join(path);
            Dir::create_ambient_dir_all(&path, cap_std::ambient_authority())?;
            return Dir::open_ambient_dir(path, cap_std::ambient_authority());
        }
        let mut folder = root.dir.try_clone()?;
        for part in path.iter().map(Path::new) {
            folder = match folder.open_dir_nofollow(part) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    folder.create_dir(part)?;
                    folder.open_dir_nofollow(part)?
                }
                opened => opened?,
            };
        }
        Ok(folder)
    }

    /// Whether the gateway's own files are at `place`. Links may hide it, so what is opened is looked at as well.
    fn is_own(&self, root: &Root, place: &Place) -> bool {
        let path = root.path.join(place.as_path());
        self.protected.is_own(&path)
            || path
                .canonicalize()
                .is_ok_and(|real| self.protected.is_own(&real))
    }
}

fn own(place: &Place) -> Error {
    let message = format!("`{}` belongs to the gateway itself", place.to_text());
    Error::new(ErrorKind::Forbidden, message).param("path")
}

/// Lines of a file that is `size` bytes long.
fn part(file: File, skipped: usize, lines: Option<usize>, size: u64) -> io::Result<Text> {
    let mut bytes = Vec::new();
    let mut from = io::BufReader::new(file);
    let mut before = from.by_ref().take(SKIP);
    for _ in 0..skipped {
        if before.skip_until(b'\n')? == 0 {
            break;
        }
    }
    if skipped > 0 && before.limit() == 0 {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    from.by_ref()
        .take(READ as u64 + 1)
        .read_to_end(&mut bytes)?;
    let mut more = bytes.len() > READ;
    bytes.truncate(READ);
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        // The limit has cut a character.
        Err(error) if more && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Err(io::ErrorKind::InvalidData.into()),
    };
    if text.contains('\0') {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = text.to_owned();
    if let Some(lines) = lines {
        let ends = text.match_indices('\n').nth(lines.saturating_sub(1));
        if let Some((end, _)) = ends.filter(|(end, _)| end + 1 < text.len()) {
            text.truncate(end + 1);
            more = true;
        }
    }
    Ok(Text { text, size, more })
}

/// Writes beside the file, then takes its name.
fn replace(folder: &Dir, name: &Path, text: &str) -> io::Result<bool> {
    let old = match folder.symlink_metadata(name) {
        Ok(facts) if facts.is_symlink() => return Err(io::Error::from_raw_os_error(libc::ELOOP)),
        Ok(facts) if facts.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(facts) if !facts.is_file() => return Err(io::ErrorKind::PermissionDenied.into()),
        Ok(facts) => Some(facts),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let beside = format!(".rungs-{}", uuid::Uuid::now_v7());
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .follow(cap_fs_ext::FollowSymlinks::No);
    let written = || {
        let mut file = folder.open_with(&beside, &options)?;
        file.write_all(text.as_bytes())?;
        if let Some(facts) = &old {
            file.set_permissions(facts.permissions())?;
        }
        file.sync_all()?;
        folder.rename(&beside, folder, name)
    };
    if let Err(error) = written() {
        // It may not exist; then there is nothing to remove.
        let _ = folder.remove_file(&beside);
        return Err(error);
    }
    Ok(old.is_none())
}
