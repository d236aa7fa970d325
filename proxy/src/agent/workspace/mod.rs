mod draft;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rungs::Error;
use similar::TextDiff;

use self::draft::Draft;
use super::{
    commit::{self, Changed},
    edit::{self, Edit, Flaw},
    notes,
    path::RelPath,
    scan,
};
use crate::sandbox::{OpenFolder, Protected};

/// The largest file that models see and change, in bytes.
const MAX_TEXT: usize = 512 << 10;

/// The most bytes of such files together.
const MAX_TEXTS: usize = 64 << 20;

/// The most blocks of one answer.
const MAX_EDITS: usize = 64;

/// A copy of a project in which changes are tried. The project itself is touched by [`commit`](Self::commit) alone.
///
/// What models see, and what is written in the end, are texts kept here: whatever tests do to the copy changes neither.
pub(super) struct Workspace {
    project: OpenFolder,
    /// Which files in it are the gateway's own.
    own: Protected,
    copy: Arc<Draft>,
    /// What is linked into the copy.
    links: Vec<PathBuf>,
    /// The texts as they stand in the project, of files that models may see.
    texts: BTreeMap<RelPath, Arc<str>>,
    /// What files are to be, of those that change.
    changes: BTreeMap<RelPath, Arc<str>>,
    /// The same after the last part that was kept.
    kept: BTreeMap<RelPath, Arc<str>>,
}

impl Workspace {
    /// Copies a project. `links` are folders that it ignores and tests need, such as `node_modules`: they are linked, not copied, and
    /// left out where they lead out of the project. What is the gateway's `own` is closed to models. Blocks.
    pub(super) fn open(
        project: OpenFolder,
        links: &[String],
        own: Protected,
    ) -> Result<Self, Error> {
        let copy = Draft::of(project.clone()).map_err(no_copy)?;
        let mut texts = BTreeMap::new();
        let mut bytes = 0;
        scan::copy(&project, copy.dir(), &own, |path, content| {
            let fits = content.len() <= MAX_TEXT && bytes + content.len() <= MAX_TEXTS;
            if let (true, true, Ok(text)) = (fits, path.is_open(), String::from_utf8(content)) {
                bytes += text.len();
                texts.insert(path, text.into());
            }
        })?;
        let mut linked = Vec::new();
        for link in links {
            let there = project.folder(link).and_then(|there| there.path());
            let here = copy.path().join(link);
            if let (Ok(there), false) = (there, here.exists()) {
                std::os::unix::fs::symlink(&there, here).map_err(no_copy)?;
                linked.push(there);
            }
        }
        Ok(Self {
            project,
            own,
            copy: Arc::new(copy),
            links: linked,
            texts,
            changes: BTreeMap::new(),
            kept: BTreeMap::new(),
        })
    }

    /// Where the copy is.
    pub(super) fn folder(&self) -> &Path {
        self.copy.path()
    }

    /// The gateway's own files, wherever they are.
    pub(super) fn hidden(&self) -> Vec<PathBuf> {
        self.own.existing()
    }

    /// The folders of the project that are linked into the copy.
    pub(super) fn links(&self) -> &[PathBuf] {
        &self.links
    }

    /// The files that models may see, with their texts as they are to be.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&RelPath, &str)> {
        let old = self
            .texts
            .iter()
            .filter(|(path, _)| !self.changes.contains_key(*path));
        let old = old.map(|(path, text)| (path, &**text));
        old.chain(self.changes.iter().map(|(path, text)| (path, &**text)))
    }

    /// The text of a file as it is to be.
    pub(super) fn text(&self, path: &RelPath) -> Option<&str> {
        self.shared_text(path).map(|text| &**text)
    }

    fn shared_text(&self, path: &RelPath) -> Option<&Arc<str>> {
        self.changes.get(path).or_else(|| self.texts.get(path))
    }

    /// The files that change.
    pub(super) fn changed(&self) -> impl Iterator<Item = &RelPath> {
        self.changes.keys()
    }

    /// Makes all of these changes, or none.
    ///
    /// # Errors
    /// The first that cannot be made, or may not; a failure of the disk.
    pub(super) async fn apply(&mut self, edits: &[Edit]) -> Result<Result<(), Flaw>, Error> {
        let changes = match self.changed_by(edits) {
            Ok(changes) => changes,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let files = changes.iter();
        let files = files.map(|(path, text)| (path.clone(), Some(Arc::clone(text))));
        self.copy.put(files.collect()).await?;
        self.changes.extend(changes);
        Ok(Ok(()))
    }

    fn changed_by(&self, edits: &[Edit]) -> Result<BTreeMap<RelPath, Arc<str>>, Flaw> {
        let mut changes: BTreeMap<RelPath, Arc<str>> = BTreeMap::new();
        for (at, edit) in edits.iter().enumerate() {
            let refused = |why| Flaw::Refused {
                path: edit.path.clone(),
                why,
            };
            let path = RelPath::parse(&edit.path).map_err(refused)?;
            if at >= MAX_EDITS {
                return Err(refused("comes after too many blocks for one answer"));
            }
            let is_own = |root: PathBuf| self.own.is_own(&root.join(path.as_str()));
            if !path.is_open() || self.project.path().is_ok_and(is_own) {
                return Err(refused(
                    "is not open to models: it is hidden, a secret, or other programs obey it",
                ));
            }
            if notes::is_note(path.as_str()) {
                return Err(refused("is the agent's own file"));
            }
            let before = changes
                .get(&path)
                .map(|text| &**text)
                .or_else(|| self.text(&path));
            if before.is_none() && self.copy.dir().symlink_metadata(path.as_str()).is_ok() {
                return Err(refused("is no text file that models may change"));
            }
            let after = edit::apply(before, &edit.change, at + 1, &edit.path)?;
            if after.len() > MAX_TEXT {
                return Err(refused("would become too large"));
            }
            changes.insert(path, after.into());
        }
        Ok(changes)
    }

    /// Makes what was changed since the start, or since this was called last, permanent for [`roll_back`](Self::roll_back).
    pub(super) fn keep(&mut self) {
        self.kept.clone_from(&self.changes);
    }

    /// Undoes what was changed since [`keep`](Self::keep).
    pub(super) async fn roll_back(&mut self) -> Result<(), Error> {
        let undone = std::mem::replace(&mut self.changes, self.kept.clone());
        let files = undone.into_keys().map(|path| {
            let text = self.shared_text(&path).cloned();
            (path, text)
        });
        self.copy.put(files.collect()).await
    }

    /// All changes as a unified diff.
    pub(super) fn diff(&self) -> String {
        let diffs = self.changes.iter().filter_map(|(path, now)| {
            let before = self.texts.get(path).map(|text| &**text);
            let from = match before {
                Some(_) => format!("a/{path}"),
                None => "/dev/null".to_owned(),
            };
            let before = before.unwrap_or_default();
            (before != &**now).then(|| {
                TextDiff::from_lines(before, &**now)
                    .unified_diff()
                    .header(&from, &format!("b/{path}"))
                    .to_string()
            })
        });
        diffs.collect()
    }

    /// Writes the changes into the project: all of them, or none. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](rungs::ErrorKind::Conflict) if one of the files is not any more what it was when the copy was made; a
    /// failure of the disk, after everything was put back.
    pub(super) fn commit(&self) -> Result<(), Error> {
        let changes = self.changes.iter().map(|(path, now)| Changed {
            path,
            before: self.texts.get(path).map(|text| &**text),
            now,
        });
        commit::write(self.project.dir(), &changes.collect::<Vec<_>>())
    }
}

fn no_copy(error: io::Error) -> Error {
    Error::internal("the copy of the project cannot be made or changed").with_source(error)
}

#[cfg(test)]
mod tests;
