//! `git_status`: what has changed since the last commit.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    sandbox::Git,
    tools::{Effect, Spec, Tool, ToolCall, Workshop, to_value},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct Input {
    /// A root by its name; the first if there is none.
    root: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// The branch, with its upstream if it has one, as git shows it.
    branch: String,
    /// What has changed.
    files: Vec<Changed>,
    /// Whether there is more than is listed.
    more: bool,
}

/// A file that has changed.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Changed {
    /// Relative to the root.
    path: String,
    /// What it was called before.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// What is staged: a letter of git's, like M, A, D, R; `?` if git does not know the file.
    staged: char,
    /// What has changed after that.
    unstaged: char,
}

/// The tool.
pub(super) struct GitStatus {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl GitStatus {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "git_status",
            "Git status",
            "Tells the branch, and which files are changed, staged or new.",
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
        let printed = Git::new(root, self.workshop.tools().sandbox)?
            .status()
            .await?;
        let (branch, files) = parsed(&printed.text);
        to_value(&Output {
            branch,
            files,
            more: printed.more,
        })
    }
}

impl Tool for GitStatus {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}

/// Entries end with a zero byte; after one that was renamed comes its old name.
fn parsed(text: &str) -> (String, Vec<Changed>) {
    let mut branch = String::new();
    let mut files = Vec::new();
    let mut entries = text.split('\0');
    while let Some(entry) = entries.next() {
        let mut letters = entry.chars();
        let (Some(staged), Some(unstaged), Some(' ')) =
            (letters.next(), letters.next(), letters.next())
        else {
            continue;
        };
        let rest = letters.as_str().to_owned();
        match (staged, unstaged) {
            ('#', '#') => branch = rest,
            _ => files.push(Changed {
                path: rest,
                from: matches!(staged, 'R' | 'C')
                    .then(|| entries.next().unwrap_or_default().to_owned()),
                staged,
                unstaged,
            }),
        }
    }
    (branch, files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_understood() {
        let said = "## main...origin/main\0 M a b.txt\0R  new.txt\0old.txt\0?? x\0";
        let (branch, files) = parsed(said);
        assert_eq!(branch, "main...origin/main");
        let shown: Vec<_> = files
            .iter()
            .map(|f| (&*f.path, f.from.as_deref(), f.staged, f.unstaged))
            .collect();
        let expected = [
            ("a b.txt", None, ' ', 'M'),
            ("new.txt", Some("old.txt"), 'R', ' '),
            ("x", None, '?', '?'),
        ];
        assert_eq!(shown, expected);
    }
}
