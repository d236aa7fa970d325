use std::{fmt, path::Path};

use crate::sandbox::not_written;

/// A path below the root of a project, as models name files: relative, with `/`, and never out of the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RelPath(String);

/// The longest path, in bytes.
const LONGEST: usize = 512;

/// Parts that are the gateway's own or hold secrets, by name. Hidden files are closed as a whole, and so is what no tool writes.
const CLOSED: [&str; 4] = ["rungs.toml", "rungs.data", "id_rsa", "id_ed25519"];

/// The same by the end of the name.
const CLOSED_ENDS: [&str; 9] = [
    ".secret",
    ".pem",
    ".key",
    ".p12",
    ".db",
    ".db-wal",
    ".db-shm",
    ".mcp-token",
    ".mcp.json",
];

impl RelPath {
    /// Reads a path; `./` before it is forgiven.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with the path.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut path = text.trim();
        while let Some(rest) = path.strip_prefix("./") {
            path = rest;
        }
        if path.is_empty() || path.len() > LONGEST {
            return Err("is empty or too long");
        }
        if path.contains(|c: char| c == '\\' || c.is_control()) {
            return Err("has characters that no path here has");
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err("does not stay below the root of the project");
        }
        Ok(Self(path.to_owned()))
    }

    /// The path as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether models may see and change this file: not hidden, no secret, nothing that other programs take orders from.
    pub(crate) fn is_open(&self) -> bool {
        let lower = self.0.to_lowercase();
        let named = lower.split('/').all(|part| {
            !part.starts_with('.')
                && !CLOSED.contains(&part)
                && !CLOSED_ENDS.iter().any(|end| part.ends_with(end))
        });
        named && not_written(Path::new(&self.0)).is_none()
    }

    /// Whether it holds a secret: such files are not even copied to where tests run.
    pub(crate) fn is_secret(&self) -> bool {
        let name = self.0.rsplit('/').next().unwrap_or_default().to_lowercase();
        const ENDS: [&str; 5] = [".secret", ".pem", ".key", ".p12", ".mcp-token"];
        name.starts_with(".env")
            || name == "rungs.toml"
            || name.starts_with("rungs.db")
            || ["id_rsa", "id_ed25519", ".npmrc", ".netrc", ".pypirc"].contains(&&*name)
            || ENDS.iter().any(|end| name.ends_with(end))
    }

    /// Whether it looks like a test by the customs of its language.
    pub(crate) fn is_test(&self) -> bool {
        let (folders, name) = self.0.rsplit_once('/').unwrap_or(("", &self.0));
        let stem = name.split('.').next().unwrap_or(name);
        folders
            .split('/')
            .any(|part| ["test", "tests", "__tests__", "spec"].contains(&part))
            || stem.starts_with("test_")
            || ["_test", "_tests", "_spec"]
                .iter()
                .any(|end| stem.ends_with(end))
            || ["test", "tests"].contains(&stem)
            || [".test.", ".spec."].iter().any(|mark| name.contains(mark))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_root_are_none() {
        for path in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "a/./b",
            "C:\\x",
            "a\0b",
            "a\nb",
            "//x",
        ] {
            assert!(RelPath::parse(path).is_err(), "{path:?}");
        }
        for path in ["a", "./a", "src/lib.rs", "a b/ü.py", "..a/b", "a.."] {
            assert!(RelPath::parse(path).is_ok(), "{path:?}");
        }
        assert_eq!(RelPath::parse("././a/b").unwrap().as_str(), "a/b");
    }

    #[test]
    fn what_other_programs_obey_is_closed() {
        let open = |path: &str| RelPath::parse(path).unwrap().is_open();
        for path in [
            ".git/hooks/pre-commit",
            ".github/workflows/ci.yml",
            "a/.env",
            ".bashrc",
            "rungs.toml",
            "x/RUNGS.TOML",
            "rungs.db",
            "rungs.db-wal",
            "rungs.db.mcp-token",
            "other.sqlite.mcp.json",
            "rungs.data/0.log",
            "rungs.db.secret",
            "Jenkinsfile",
            "appveyor.yml",
            "ci/buildspec.yml",
            "cloudbuild.yaml",
            "mcp.json",
            "tls/server.key",
            "..a",
        ] {
            assert!(!open(path), "{path}");
        }
        for path in [
            "src/lib.rs",
            "keys.rs",
            "docs/notes.md",
            "package.json",
            "a.b/c",
        ] {
            assert!(open(path), "{path}");
        }
    }

    #[test]
    fn tests_are_known_by_their_names() {
        let test = |path: &str| RelPath::parse(path).unwrap().is_test();
        for path in [
            "tests/a.rs",
            "src/a/tests.rs",
            "a.test.ts",
            "b/c.spec.js",
            "test_a.py",
            "a_test.go",
        ] {
            assert!(test(path), "{path}");
        }
        for path in ["src/lib.rs", "attest.rs", "latest/a.py", "contest.ts"] {
            assert!(!test(path), "{path}");
        }
    }
}
