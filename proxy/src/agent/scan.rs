use std::{io, path::Path};

use cap_std::fs::Dir;
use ignore::WalkBuilder;
use rungs::{Error, ErrorKind};

use super::path::RelPath;
use crate::sandbox::{OpenFolder, Protected};

/// What a project may hold to be worked on. What it ignores does not count.
const MAX_FILES: usize = 20_000;
const MAX_BYTES: u64 = 256 << 20;

/// Copies a project into the empty folder `copy`, and calls `each` with every file.
///
/// Left out are what `.gitignore` and `.ignore` name, the `.git` folder, links, secrets, the gateway's own files, and everything that
/// is no regular file.
///
/// # Errors
/// [`ErrorKind::TooLarge`] if the project is too large, [`ErrorKind::Invalid`] if it cannot be read.
pub(super) fn copy(
    project: &OpenFolder,
    copy: &Dir,
    own: &Protected,
    mut each: impl FnMut(RelPath, Vec<u8>),
) -> Result<(), Error> {
    let unreadable = |path: &Path| Error::invalid(format!("cannot read {}", path.display()));
    let root = project.path();
    let root = root.map_err(|e| Error::invalid("the project cannot be found").with_source(e))?;
    let project = project.dir();
    let (mut files, mut bytes) = (0, 0);
    let walk = WalkBuilder::new(&root)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .require_git(false)
        .follow_links(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_name(Ord::cmp)
        .build();
    for entry in walk {
        let entry = entry.map_err(|error| unreadable(&root).with_source(error))?;
        let below = entry.path().strip_prefix(&root).ok();
        let path = below
            .and_then(Path::to_str)
            .and_then(|text| RelPath::parse(text).ok());
        let (Some(path), Some(kind)) = (path, entry.file_type()) else {
            continue;
        };
        let failed = |error: io::Error| unreadable(entry.path()).with_source(error);
        if kind.is_dir() {
            copy.create_dir_all(path.as_str()).map_err(failed)?;
            continue;
        }
        if !kind.is_file() || path.is_secret() || own.is_own(entry.path()) {
            continue;
        }
        files += 1;
        bytes += entry.metadata().map_or(0, |data| data.len());
        if files > MAX_FILES || bytes > MAX_BYTES {
            return Err(too_large());
        }
        let content = project.read(path.as_str()).map_err(failed)?;
        copy.write(path.as_str(), &content).map_err(failed)?;
        // A script that may be run stays one.
        let permissions = project
            .metadata(path.as_str())
            .map_err(failed)?
            .permissions();
        copy.set_permissions(path.as_str(), permissions)
            .map_err(failed)?;
        each(path, content);
    }
    Ok(())
}

fn too_large() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "the project has more than {MAX_FILES} files or {} MiB; name in .gitignore what does not belong to it, or work on a \
             folder of it",
            MAX_BYTES >> 20
        ),
    )
}
