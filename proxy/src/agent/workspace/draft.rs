use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use rungs::Error;
use tokio::task::spawn_blocking;

use super::{RelPath, no_copy};
use crate::sandbox::{OpenFolder, TempFolder};

/// A copy of a project on the disk. Tests run in it, and may put anything into it.
pub(super) struct Draft {
    project: OpenFolder,
    /// Ends with this.
    folder: TempFolder,
    dir: Dir,
}

impl Draft {
    /// An empty one of `project`.
    pub(super) fn of(project: OpenFolder) -> io::Result<Self> {
        let folder = TempFolder::new("rungs-agent")?;
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority())?;
        Ok(Self {
            project,
            folder,
            dir,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The handle.
    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Writes these files, or takes away those without a text.
    pub(super) async fn put(
        self: &Arc<Self>,
        files: Vec<(RelPath, Option<Arc<str>>)>,
    ) -> Result<(), Error> {
        let draft = Arc::clone(self);
        let put = move || {
            let mut files = files.iter();
            files.try_for_each(|(path, text)| draft.put_one(path, text.as_deref()))
        };
        let done = spawn_blocking(put).await;
        done.map_err(|error| no_copy(error.into()))?
            .map_err(no_copy)
    }

    /// Nothing that tests have put in the file's place is opened: a pipe would be waited for. Nor does anything of theirs lead out.
    fn put_one(&self, path: &RelPath, text: Option<&str>) -> io::Result<()> {
        let path = Path::new(path.as_str());
        match self.dir.symlink_metadata(path) {
            Ok(facts) if facts.is_dir() => self.dir.remove_dir_all(path)?,
            Ok(_) => self.dir.remove_file(path)?,
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
        let Some(text) = text else { return Ok(()) };
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.make_folder(parent)?;
        }
        let mut options = OpenOptions::new();
        let mut file = { &self.dir }.open_with(path, options.write(true).create_new(true))?;
        // A script that may be run stays one.
        let before = self.project.dir().symlink_metadata(path);
        if let Some(facts) = before.ok().filter(|facts| facts.is_file()) {
            file.set_permissions(facts.permissions())?;
        }
        file.write_all(text.as_bytes())
    }

    /// Makes a folder, in place of what tests have put there, or above it, that is none.
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        for place in path.ancestors().filter(|p| !p.as_os_str().is_empty()) {
            match self.dir.symlink_metadata(place) {
                Ok(facts) if facts.is_dir() => break,
                // A link may be one of those that belong here.
                Ok(facts) if facts.is_symlink() => break,
                Ok(_) => {
                    self.dir.remove_file(place)?;
                    break;
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.dir.create_dir_all(path)
    }
}

/// Nothing is there, or what is above it is no folder.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}
