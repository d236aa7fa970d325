//! Listing folders.

use std::{collections::VecDeque, path::Path};

use cap_std::fs::Dir;
use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::Serialize;

use super::{Handles, Place, Root, refused};

/// What is in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Those of the folder first, then those below it.
    pub(crate) entries: Vec<Entry>,
    /// Whether there are more.
    pub(crate) more: bool,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Entry {
    /// Relative to the root.
    pub(crate) path: String,
    /// What it is.
    pub(crate) kind: EntryKind,
    /// The size of a file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntryKind {
    File,
    Folder,
    Link,
    Other,
}

impl Handles {
    pub(super) fn list(
        &self,
        root: &Root,
        place: Place,
        depth: usize,
        most: usize,
    ) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        // Places, not handles: there may be as many as entries, and few files may be open at once.
        let mut folders = VecDeque::from([(place, depth.max(1))]);
        let mut is_first = true;
        while let Some((place, depth)) = folders.pop_front() {
            let folder = match self.folder(root, place.as_path()) {
                Err(error) if is_first => return Err(refused(&place, error)),
                // What may not be looked into, or went away meanwhile, has nothing in it.
                Err(_) => continue,
                Ok(folder) => folder,
            };
            is_first = false;
            let mut found = Vec::new();
            let entries = folder.entries().map_err(|error| refused(&place, error))?;
            for entry in entries {
                // What goes away meanwhile is not there.
                let Ok(entry) = entry else { continue };
                let (Ok(facts), Ok(name)) = (entry.metadata(), entry.file_name().into_string())
                else {
                    continue;
                };
                let kind = match facts.file_type() {
                    kind if kind.is_file() => EntryKind::File,
                    kind if kind.is_dir() => EntryKind::Folder,
                    kind if kind.is_symlink() => EntryKind::Link,
                    _ => EntryKind::Other,
                };
                found.push((name, kind, facts.len()));
                // One that is as large as a disk is not read whole to be sorted.
                if found.len() > most.saturating_mul(8) {
                    listing.more = true;
                    break;
                }
            }
            found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            for (name, kind, size) in found {
                if listing.entries.len() == most {
                    listing.more = true;
                    return Ok(listing);
                }
                let place = place.join(&name);
                if kind == EntryKind::Folder && depth > 1 && name != ".git" {
                    folders.push_back((place.clone(), depth - 1));
                }
                listing.entries.push(Entry {
                    path: place.to_text(),
                    kind,
                    size: (kind == EntryKind::File).then_some(size),
                });
            }
        }
        Ok(listing)
    }

    pub(super) fn folder(&self, root: &Root, path: &Path) -> std::io::Result<Dir> {
        #[cfg(test)]
        if self.first_wall == super::FirstWall::Removed {
            return Dir::open_ambient_dir(root.path.join(path), cap_std::ambient_authority());
        }
        root.dir.open_dir(path)
    }
}
