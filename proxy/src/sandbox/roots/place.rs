//! A path as models and clients write it: relative to a root, with `/`, and never up.

use std::path::{Path, PathBuf};

use rungs::Error;

/// The longest path, in bytes.
const LONGEST: usize = 4096;

/// The most folders in a path.
const DEEPEST: usize = 64;

/// A path in a root. That it looks right is not what keeps it there: the kernel resolves it beneath the root's handle.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// The root itself.
    pub(crate) fn root() -> Self {
        Self(PathBuf::from("."))
    }

    /// Reads a path like `src/main.rs`; `.` and the empty one are the root.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](rungs::ErrorKind::Invalid) for what is no path of a root, with what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Err(Error::invalid(format!("the path {why}")).param("path"));
        if text.len() > LONGEST {
            return wrong("is longer than 4096 bytes");
        }
        if text.chars().any(|c| c.is_control() || is_invisible(c)) {
            return wrong("has a control character or one that cannot be seen");
        }
        if text.contains('\\') {
            return wrong("has a backslash; folders are separated by `/`");
        }
        if text.starts_with('/') {
            return wrong("is absolute; paths are relative to a root");
        }
        let mut path = PathBuf::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => return wrong("goes up with `..`; paths stay in their root"),
                part => path.push(part),
            }
        }
        if path.components().count() > DEEPEST {
            return wrong("is more than 64 folders deep");
        }
        match path.as_os_str().is_empty() {
            true => Ok(Self::root()),
            false => Ok(Self(path)),
        }
    }

    /// What is in this place by the name of `name`.
    pub(super) fn join(&self, name: &str) -> Self {
        match *self == Self::root() {
            true => Self(name.into()),
            false => Self(self.0.join(name)),
        }
    }

    /// As a relative path.
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }

    /// With `/`, as it was written.
    pub(crate) fn to_text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// One that was not looked at.
    #[cfg(test)]
    pub(crate) fn unchecked(text: &str) -> Self {
        Self(text.into())
    }
}

/// Characters that show nothing, or turn around what is shown: with them one path looks like another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_what_it_says() {
        for (text, path) in [
            ("", "."),
            (".", "."),
            ("./././", "."),
            ("./a//b/", "a/b"),
            ("a b/ü.txt", "a b/ü.txt"),
        ] {
            assert_eq!(
                Place::parse(text).unwrap().as_path(),
                Path::new(path),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_path_of_a_root_is_told_why() {
        for (text, why) in [
            ("..", "goes up"),
            ("a/../b", "goes up"),
            ("a/..", "goes up"),
            ("/etc/passwd", "absolute"),
            ("a\\b", "backslash"),
            ("a\0b", "control character"),
            ("a\u{202e}b", "cannot be seen"),
            (&"a/".repeat(65), "64 folders"),
            (&"a".repeat(4097), "4096 bytes"),
        ] {
            let error = Place::parse(text).unwrap_err();
            assert!(error.message().contains(why), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_path_that_leads_up(text in "[./a\\\\~\\PC]{0,40}") {
            if let Ok(place) = Place::parse(&text) {
                let path = place.as_path();
                prop_assert!(path.is_relative());
                let up = |part| matches!(part, std::path::Component::ParentDir | std::path::Component::RootDir);
                prop_assert!(!path.components().any(up), "{path:?}");
            }
        }
    }
}
