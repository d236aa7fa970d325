use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use cap_std::fs::{Dir, OpenOptions};
use rungs::{Error, ErrorKind};
use uuid::Uuid;

use super::path::RelPath;

/// A file that is to change.
pub(super) struct Changed<'a> {
    pub(super) path: &'a RelPath,
    /// What it was; `None` if there was none.
    pub(super) before: Option<&'a str>,
    /// What it is to be.
    pub(super) now: &'a str,
}

/// Writes these files below the project `root`, all or none: each is written beside its place first, then all are moved there, and what was
/// moved is put back if one cannot be.
///
/// # Errors
/// [`ErrorKind::Conflict`] if a file is not what it was; [`ErrorKind::Internal`] if the disk fails.
pub(super) fn write(root: &Dir, changes: &[Changed<'_>]) -> Result<(), Error> {
    for change in changes {
        change.check(root)?;
    }
    replace(root, changes)
}

fn failed(error: io::Error) -> Error {
    Error::internal("the project cannot be written; it is as it was").with_source(error)
}

/// Writes files that were checked.
fn replace(root: &Dir, changes: &[Changed<'_>]) -> Result<(), Error> {
    let mut staged = Staged {
        root,
        files: Vec::new(),
        folders: Vec::new(),
    };
    for change in changes {
        staged.add(change).map_err(failed)?;
    }
    // That took a while, in which somebody may have saved one of them.
    for change in changes {
        change.check(root)?;
    }
    staged.move_all().map_err(failed)
}

impl Changed<'_> {
    /// Whether the file, and each folder above it, is what it was.
    fn check(&self, root: &Dir) -> Result<(), Error> {
        let conflict = |what: &str| {
            let path = self.path;
            Err(Error::new(
                ErrorKind::Conflict,
                format!("`{path}` {what}; nothing was written"),
            ))
        };
        let mut above = Path::new(self.path.as_str());
        while let Some(parent) = above.parent().filter(|p| !p.as_os_str().is_empty()) {
            match root.symlink_metadata(parent) {
                Ok(data) if !data.is_dir() => {
                    return conflict("is below something that is no folder");
                }
                _ => above = parent,
            }
        }
        match (self.before, root.symlink_metadata(self.path.as_str())) {
            (None, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            (None, _) => conflict("was made by somebody else meanwhile"),
            (Some(before), Ok(data)) if data.is_file() => match root.read(self.path.as_str()) {
                Ok(now) if now == before.as_bytes() => Ok(()),
                _ => conflict("was changed by somebody else meanwhile"),
            },
            (Some(_), _) => conflict("is gone, or no regular file any more"),
        }
    }
}

/// Files that wait beside their places. What is not moved is taken away when this is dropped.
struct Staged<'a> {
    root: &'a Dir,
    files: Vec<(PathBuf, &'a Changed<'a>)>,
    folders: Vec<PathBuf>,
}

impl<'a> Staged<'a> {
    fn add(&mut self, change: &'a Changed<'a>) -> io::Result<()> {
        let path = Path::new(change.path.as_str());
        if let Some(folder) = path.parent() {
            self.make(folder)?;
        }
        let beside = path.with_file_name(format!(".rungs-{}", Uuid::now_v7().simple()));
        let mut options = OpenOptions::new();
        let mut file = self
            .root
            .open_with(&beside, options.write(true).create_new(true))?;
        self.files.push((beside.clone(), change));
        file.write_all(change.now.as_bytes())?;
        file.sync_all()?;
        if change.before.is_some() {
            let permissions = self.root.metadata(path)?.permissions();
            self.root.set_permissions(&beside, permissions)?;
        }
        Ok(())
    }

    /// Makes a folder and those above it, and remembers which.
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        if folder.as_os_str().is_empty() || self.root.is_dir(folder) {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make(parent)?;
        }
        self.root.create_dir(folder)?;
        self.folders.push(folder.to_owned());
        Ok(())
    }

    fn move_all(mut self) -> io::Result<()> {
        for at in 0..self.files.len() {
            let (beside, change) = &self.files[at];
            if let Err(error) = self.root.rename(beside, self.root, change.path.as_str()) {
                self.put_back(at);
                return Err(error);
            }
        }
        self.files.clear();
        self.folders.clear();
        Ok(())
    }

    /// Undoes the first `moved` moves; best effort, on a disk that fails already.
    fn put_back(&mut self, moved: usize) {
        for (_, change) in self.files.drain(..moved) {
            let path = change.path.as_str();
            let undone = match change.before {
                Some(before) => self.root.write(path, before),
                None => self.root.remove_file(path),
            };
            if let Err(error) = undone {
                tracing::error!(path, %error, "a change could not be undone");
            }
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        for (beside, _) in &self.files {
            let _ = self.root.remove_file(beside);
        }
        for folder in self.folders.iter().rev() {
            let _ = self.root.remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn what_was_moved_is_put_back_when_the_next_cannot_be() {
        let project = tempfile::tempdir().unwrap();
        let root = Dir::open_ambient_dir(project.path(), ambient_authority()).unwrap();
        root.write("a.py", "old\n").unwrap();
        root.create_dir("b.py").unwrap();
        root.write("b.py/in", "old\n").unwrap();
        let paths = ["a.py", "new/c.py", "b.py"].map(|path| RelPath::parse(path).unwrap());
        // A folder that took the place of a file after the check.
        let befores = [Some("old\n"), None, Some("old\n")];
        let changes: Vec<_> = paths
            .iter()
            .zip(befores)
            .map(|(path, before)| Changed {
                path,
                before,
                now: "new\n",
            })
            .collect();
        replace(&root, &changes).unwrap_err();
        assert_eq!(root.read_to_string("a.py").unwrap(), "old\n");
        let mut names: Vec<_> = root
            .entries()
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["a.py", "b.py"]);
    }
}
