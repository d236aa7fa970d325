//! `git_diff`: differences as a patch.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    sandbox::{Git, Place},
    tools::{Effect, Spec, Tool, ToolCall, Workshop, to_value},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
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
#[schemars(crate = "rmcp::schemars")]
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
#[schemars(crate = "rmcp::schemars")]
struct Count {
    /// As git shows it.
    path: String,
    /// Lines that are new; none of a file that is no text.
    added: Option<u64>,
    /// Lines that are gone.
    removed: Option<u64>,
}

/// The tool.
pub(super) struct GitDiff {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl GitDiff {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "git_diff",
            "Git diff",
            "Shows differences as a patch: of the files to the last commit, of what is staged, or between two commits.",
            Effect::Read,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        let root = self
            .workshop
            .roots(&call.principal)?
            .path(input.root.as_deref())?;
        let git = Git::new(root, self.workshop.tools().sandbox)?;
        if input.from.is_none() && input.to.is_some() {
            return Err(Error::invalid("`to` without `from`").param("to"));
        }
        let revisions: Vec<String> = input.from.into_iter().chain(input.to).collect();
        let paths: Result<Vec<Place>, Error> =
            input.paths.iter().map(|path| Place::parse(path)).collect();
        let printed = git.diff(input.staged, &revisions, &paths?).await?;
        let (files, patch) = parsed(&printed.text);
        to_value(&Output {
            files,
            patch: patch.to_owned(),
            more: printed.more,
        })
    }
}

impl Tool for GitDiff {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
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
