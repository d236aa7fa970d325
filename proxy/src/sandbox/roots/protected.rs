//! Files in a root that tools keep away from: those that other programs run or obey, and the gateway's own.

use std::{
    collections::{BTreeSet, HashSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Folders, at any depth, in which nothing is written.
const FOLDERS: [&str; 11] = [
    ".git",
    ".github",
    ".circleci",
    ".buildkite",
    ".husky",
    ".ssh",
    ".gnupg",
    ".vscode",
    ".idea",
    ".cargo",
    ".devcontainer",
];

/// Names of files, at any depth, that are not written.
const FILES: [&str; 47] = [
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".cshrc",
    ".envrc",
    ".exrc",
    ".gdbinit",
    ".gitattributes",
    ".gitconfig",
    ".gitmodules",
    ".inputrc",
    ".kshrc",
    ".login",
    ".logout",
    ".mkshrc",
    ".netrc",
    ".npmrc",
    ".pnpmfile.cjs",
    ".profile",
    ".pypirc",
    ".tcshrc",
    ".tmux.conf",
    ".vimrc",
    ".xinitrc",
    ".xprofile",
    ".yarnrc",
    ".yarnrc.yml",
    ".zlogin",
    ".zlogout",
    ".zprofile",
    ".zshenv",
    ".zshrc",
    // What runs on the computers that build and test.
    ".drone.yml",
    ".gitlab-ci.yml",
    ".pre-commit-config.yaml",
    ".travis.yml",
    ".woodpecker.yml",
    "appveyor.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "buildspec.yml",
    "jenkinsfile",
    "cloudbuild.yaml",
    // What starts other tools.
    ".mcp.json",
    "mcp.json",
];

/// The gateway's own files: its configuration, its database and what lies beside it. They are neither read nor written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protected {
    paths: Vec<PathBuf>,
}

impl Protected {
    /// Keeps away from `paths`, from what is below them, and from files beside them whose name begins with theirs: a database has
    /// its journal there.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        // Of one that does not exist yet, its folder may still be reached by another name.
        let real = |path: &Path| {
            let whole = std::path::absolute(path).ok()?;
            let parent = whole.parent()?.canonicalize().ok()?;
            Some(parent.join(whole.file_name()?))
        };
        let mut all = BTreeSet::new();
        for path in paths {
            // Where a link is named, what it leads to is meant as well.
            all.extend(path.canonicalize());
            all.insert(real(&path).unwrap_or(path));
        }
        Self {
            paths: all.into_iter().collect(),
        }
    }

    /// Whether a file of the gateway is there. `path` is free of links.
    pub(crate) fn is_own(&self, path: &Path) -> bool {
        let belongs = |own: &Path, up: &Path| {
            let name = up.file_name()?.as_encoded_bytes();
            let rest = name.strip_prefix(own.file_name()?.as_encoded_bytes())?;
            Some(up.parent() == own.parent() && matches!(rest, [] | [b'-' | b'.', ..]))
        };
        let of = |own: &Path| path.ancestors().any(|up| belongs(own, up).unwrap_or(false));
        self.paths.iter().any(|own| of(own))
    }

    /// What they are called, whether they are there or not; what lies beside them begins so, with a `-` or a `.` behind.
    pub(crate) fn names(&self) -> &[PathBuf] {
        &self.paths
    }

    /// All that there are now.
    pub(crate) fn existing(&self) -> Vec<PathBuf> {
        let folders: BTreeSet<_> = self.paths.iter().filter_map(|path| path.parent()).collect();
        let listed = { folders.into_iter() }.filter_map(|folder| folder.read_dir().ok());
        let entries = listed.flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| self.is_own(path)).collect()
    }

    /// The files of the gateway as the kernel knows them, by whatever name they were opened.
    pub(super) fn inodes(&self) -> HashSet<(u64, u64)> {
        let facts = self.paths.iter().filter_map(|path| path.metadata().ok());
        facts.map(|facts| (facts.dev(), facts.ino())).collect()
    }
}

/// Why a path in a root is not written to, if it is one of those.
pub(crate) fn not_written(path: &Path) -> Option<String> {
    let mut parts = path
        .iter()
        .map(|part| plain(&part.to_string_lossy()))
        .peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        if FOLDERS.contains(&&*part) || is_last && FILES.contains(&&*part) {
            return Some(part);
        }
    }
    None
}

/// A name as file systems that ignore case, and dots and spaces at the end, understand it.
fn plain(name: &str) -> String {
    name.to_lowercase().trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_run_is_not_written() {
        for path in [
            ".git/hooks/pre-commit",
            "a/.git",
            "a/.GIT/config",
            ".git./x",
            ".github/workflows/x.yml",
            "deep/down/.bashrc",
            "Jenkinsfile",
            ".mcp.json",
            ".cargo/config.toml",
            ".vscode/tasks.json",
            ".gitlab-ci.yml",
            "x/.envrc",
        ] {
            assert!(not_written(Path::new(path)).is_some(), "{path}");
        }
        for path in [
            "src/main.rs",
            "git/x",
            "a.git/x",
            "bashrc",
            "docs/.gitignore",
            ".gitignore",
        ] {
            assert_eq!(not_written(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn the_gateways_files_are_known_with_what_is_beside_them() {
        let own = Protected {
            paths: vec!["/x/rungs.db".into(), "/x/rungs.data".into()],
        };
        for path in [
            "/x/rungs.db",
            "/x/rungs.db-wal",
            "/x/rungs.db.journal/0001",
            "/x/rungs.data/a/b",
        ] {
            assert!(own.is_own(Path::new(path)), "{path}");
        }
        for path in ["/x/rungs.toml", "/y/rungs.db", "/x/a/rungs.db", "/x"] {
            assert!(!own.is_own(Path::new(path)), "{path}");
        }
    }
}
