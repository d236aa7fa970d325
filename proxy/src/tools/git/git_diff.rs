//! `git_diff`: differences as a patch.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::{Deserialize, Serialize};

use super::repository;
use crate::{
    sandbox::Place,
    tools::{Caller, Effect, Origin, Typed, Words, Workshop},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// A root by its name; the first if there is none.
    root: Option<String>,
    /// Only what is staged.
    #[serde(default)]
    staged: bool,
    /// A commit, branch or tag to compare with.
    from: Option<String>,
    /// A second one, compared with the first.
    to: Option<String>,
    /// Files or folders; all if there are none.
    #[serde(default)]
    paths: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// How many lines have changed in which files.
    files: Vec<Count>,
    /// The patch.
    patch: String,
    /// Whether it goes on.
    more: bool,
}

/// The changed lines of a file.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Count {
    /// As git shows it.
    path: String,
    /// Lines that are new; none of a file that is no text.
    added: Option<u64>,
    /// Lines that are gone.
    removed: Option<u64>,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "git_diff",
        title: "Git diff",
        description: "Shows differences as a patch: of the files to the last commit, of what is staged, or between two commits.",
        effect: Effect::Read,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, diff)
}

async fn diff(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Output, Error> {
    let git = repository(&workshop, &caller, input.root.as_deref())?;
    if input.from.is_none() && input.to.is_some() {
        return Err(Error::invalid("`to` without `from`").param("to"));
    }
    let revisions: Vec<String> = input.from.into_iter().chain(input.to).collect();
    let paths = input.paths.iter().map(|path| Place::parse(path));
    let paths: Vec<Place> = paths.collect::<Result<_, _>>()?;
    let printed = git.diff(input.staged, &revisions, &paths).await?;
    let (files, patch) = parsed(&printed.text);
    Ok(Output {
        files,
        patch: patch.to_owned(),
        more: printed.more,
    })
}

/// Counts, a line a file, then an empty line and the patch.
fn parsed(text: &str) -> (Vec<Count>, &str) {
    let (counts, patch) = text.split_once("\n\n").unwrap_or((text, ""));
    let count = |line: &str| {
        let mut fields = line.splitn(3, '\t');
        let (added, removed, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Count {
            path: path.to_owned(),
            added: added.parse().ok(),
            removed: removed.parse().ok(),
        })
    };
    (counts.lines().filter_map(count).collect(), patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_before_the_patch() {
        let (counts, patch) = parsed("1\t2\ta b.txt\n-\t-\tpicture.png\n\ndiff --git a b\n\n x\n");
        assert_eq!(patch, "diff --git a b\n\n x\n");
        let expected = [("a b.txt", Some(1), Some(2)), ("picture.png", None, None)];
        let shown: Vec<_> = counts
            .iter()
            .map(|c| (&*c.path, c.added, c.removed))
            .collect();
        assert_eq!(shown, expected);
        assert!(parsed("").0.is_empty());
    }
}
