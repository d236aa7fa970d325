//! `fs_write`: a text file, whole.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::{Deserialize, Serialize};

use crate::{
    sandbox::Place,
    tools::{Caller, Effect, Origin, Typed, Words, Workshop},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The file, relative to a root, like `src/main.rs`.
    path: String,
    /// What shall be in it, at most 4 MiB.
    text: String,
    /// A root by its name; the first if there is none.
    root: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Its size, in bytes.
    size: usize,
    /// Whether there was none before.
    created: bool,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "fs_write",
        title: "Write a file",
        description: "Writes a whole text file, with the folders that it needs. Whoever reads it meanwhile sees the old one. What other \
                      programs run or obey is not written: .git, CI files, startup files of shells.",
        effect: Effect::Write,
        origin: Origin::Own,
    };
    Typed::new(words, workshop, write)
}

async fn write(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Output, Error> {
    let place = Place::parse(&input.path)?;
    let roots = workshop.roots(&caller.principal)?;
    let size = input.text.len();
    let created = roots
        .write(input.root.as_deref(), place, input.text)
        .await?;
    Ok(Output { size, created })
}
