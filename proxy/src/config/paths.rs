//! Where relative paths begin: those of a file in the folder that it lies in, wherever the process was started, so that all who read
//! one file have one database. Those of the environment begin in the working directory, and without a file all do.

use std::path::{Path, PathBuf};

use super::{Config, StoreUrl, error::Faults};

impl Config {
    /// Begins what the file says, and what it leaves at its default, in `folder`.
    pub(super) fn begin_paths_in(&mut self, folder: &Path, faults: &Faults<'_>) {
        let begin = |path: &mut PathBuf, name: &str| {
            if !faults.is_from_environment(name) {
                *path = folder.join(&*path);
            }
        };
        if let StoreUrl::Sqlite(path) = &mut self.store.url {
            begin(path, "store.url");
        }
        begin(&mut self.store.folder, "store.folder");
        begin(&mut self.tools.data, "tools.data");
        if let Some(schema) = &mut self.tools.schema {
            begin(schema, "tools.schema");
        }
        for root in self.tools.roots.iter_mut().flatten() {
            begin(root, "tools.roots");
        }
        if let Some(file) = &mut self.log.file {
            begin(file, "log.file");
        }
    }
}
