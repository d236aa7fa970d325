//! `git_status`: what has changed since the last commit.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::{Deserialize, Serialize};

use super::repository;
use crate::tools::{Caller, Effect, Origin, Typed, Words, Workshop};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// A root by its name; the first if there is none.
    root: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
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
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "git_status",
        title: "Git status",
        description: "Tells the branch, and which files are changed, staged or new.",
        effect: Effect::Read,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, status)
}

async fn status(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Output, Error> {
    let git = repository(&workshop, &caller, input.root.as_deref())?;
    let printed = git.status().await?;
    let (branch, files) = parsed(&printed.text);
    Ok(Output {
        branch,
        files,
        more: printed.more,
    })
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
