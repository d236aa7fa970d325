//! Where relative paths begin: those of a file in the folder that it lies in, wherever the process was started, so that all who read
//! one file have one database. Those of the environment begin in the working directory, and without a file all do.

use std::path::{Component, Path, PathBuf};

use super::{Config, StoreUrl, World, error::Faults};

impl Config {
    /// Begins what the file says, and what it leaves at its default, in `folder`.
    pub(super) fn begin_paths_in(
        &mut self,
        folder: &Path,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) {
        let mut beginning = Beginning {
            folder,
            world,
            faults,
        };
        beginning.of_store(&mut self.store.url, &mut self.store.folder);
        beginning.of(&mut self.tools.data, "tools.data");
        if let Some(schema) = &mut self.tools.schema {
            beginning.of(schema, "tools.schema");
        }
        for root in self.tools.roots.iter_mut().flatten() {
            beginning.of_root(root);
        }
        if let Some(file) = &mut self.log.file {
            beginning.of(file, "log.file");
        }
    }
}

/// Where the paths of a file begin.
struct Beginning<'a, 'f> {
    folder: &'a Path,
    world: &'a World<'a>,
    faults: &'a mut Faults<'f>,
}

impl Beginning<'_, '_> {
    fn of(&self, path: &mut PathBuf, name: &str) {
        if !self.faults.is_from_environment(name) {
            *path = self.folder.join(&*path);
        }
    }

    /// A database that is not found is made, and with it budgets of which nothing is spent: so none is left behind in silence.
    fn of_store(&mut self, url: &mut StoreUrl, rows: &mut PathBuf) {
        let written = rows.clone();
        self.of(rows, "store.folder");
        match url {
            StoreUrl::Sqlite(file) => {
                let written = file.clone();
                self.of(file, "store.url");
                self.leaves_behind(&written, file, "store.url", "sqlite:");
            }
            StoreUrl::Postgres(_) => self.leaves_behind(&written, rows, "store.folder", ""),
            StoreUrl::Memory => {}
        }
    }

    fn leaves_behind(&mut self, written: &Path, path: &Path, name: &str, scheme: &str) {
        let find = self.world.find;
        if let (None, Some(other)) = (find(path), find(written)) {
            let (path, other) = (path.display(), other.display());
            let what = format_args!(
                "nothing is at {path}, where paths of this file begin, but there is {other}, in the working directory; write \
                 \"{scheme}{other}\" to go on with that, or another whole path to begin anew"
            );
            self.faults.at(name, what);
        }
    }

    /// Whoever writes `.` means where they are, and may have no idea what else lies beside a file that is somewhere else.
    fn of_root(&mut self, root: &mut PathBuf) {
        let is_elsewhere = self.folder.components().any(|c| c != Component::CurDir);
        let written = root.clone();
        self.of(root, "tools.roots");
        if is_elsewhere && holds_its_beginning(&written) {
            let (written, folder) = (written.display(), self.folder.display());
            let what = format_args!(
                "`{written}` begins in {folder}, where this file lies, and would open all that is there; write the whole path of \
                 the folder that is meant"
            );
            self.faults.at("tools.roots", what);
        }
    }
}

/// Whether a path leads to where it begins, or above.
fn holds_its_beginning(path: &Path) -> bool {
    let below = path
        .components()
        .fold(0_usize, |below, component| match component {
            Component::Normal(_) => below + 1,
            Component::ParentDir => below.saturating_sub(1),
            _ => below,
        });
    path.is_relative() && below == 0
}
