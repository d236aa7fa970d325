//! What a model writes to change files: blocks that replace text, and whole files. Reading and applying are pure.
//!
//! ```text
//! FILE: src/lib.rs
//! <<<<<<< SEARCH
//! lines as they stand in the file
//! =======
//! lines to stand there instead
//! >>>>>>> REPLACE
//!
//! FILE: docs/new.md
//! <<<<<<< WHOLE
//! all lines of the file
//! >>>>>>> END
//!
//! READ: src/other.rs
//! ```
//!
//! Everything else in an answer is talk. There is no block that runs anything.

mod apply;
mod parse;

use std::fmt;

pub(super) use apply::apply;
pub(super) use parse::parse;

/// What an answer asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Changes, in order.
    pub(super) edits: Vec<Edit>,
    /// Files that the model wants to see.
    pub(super) reads: Vec<String>,
}

/// A change to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    /// The file, as the model named it.
    pub(super) path: String,
    /// What becomes of it.
    pub(super) change: Change,
}

/// What becomes of a file. Texts are whole lines, each with its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The one place that reads `search` reads `replace` afterwards.
    Replace { search: String, replace: String },
    /// The file has this text, and is made if there is none.
    Whole(String),
}

/// Why an answer changes nothing. `number` counts the blocks of the answer from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A block has no `FILE:` line before it.
    Nameless { number: usize },
    /// A block does not end.
    Open { number: usize },
    /// A block that replaces something has nothing to search for.
    Nothing { number: usize },
    /// The text is not in the file; these lines are the nearest, with their numbers.
    Missing {
        number: usize,
        path: String,
        nearest: Vec<(usize, String)>,
    },
    /// The text is in the file several times, beginning at these lines.
    Ambiguous {
        number: usize,
        path: String,
        lines: Vec<usize>,
    },
    /// There is no such file to replace something in.
    NoFile { number: usize, path: String },
    /// The policy does not allow it.
    Refused { path: String, why: &'static str },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nameless { number } => {
                write!(f, "block {number} has no `FILE: path` line before it")
            }
            Self::Open { number } => write!(f, "block {number} is not closed"),
            Self::Nothing { number } => write!(
                f,
                "block {number} searches for nothing; to write a whole file use a WHOLE block"
            ),
            Self::Missing {
                number,
                path,
                nearest,
            } => {
                write!(f, "the search text of block {number} is not in `{path}`")?;
                for (at, (line, text)) in nearest.iter().enumerate() {
                    let before = if at == 0 { "; nearest are" } else { "," };
                    write!(
                        f,
                        "{before} line {line} {}",
                        serde_json::Value::from(text.as_str())
                    )?;
                }
                Ok(())
            }
            Self::Ambiguous {
                number,
                path,
                lines,
            } => {
                let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
                let lines = lines.join(", ");
                write!(
                    f,
                    "the search text of block {number} is in `{path}` several times, at the lines {lines}; take more lines with it"
                )
            }
            Self::NoFile { number, path } => {
                write!(
                    f,
                    "block {number} replaces text in `{path}`, which does not exist"
                )
            }
            Self::Refused { path, why } => write!(f, "`{path}` {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
