//! `fs_read`: a text file.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::Deserialize;

use crate::{
    sandbox::{Place, Text},
    tools::{Caller, Effect, Origin, Typed, Words, Workshop},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The file, relative to a root, like `src/main.rs`.
    path: String,
    /// A root by its name; the first if there is none.
    root: Option<String>,
    /// The first line, counted from 1.
    #[serde(default = "one")]
    first_line: usize,
    /// How many lines; all if it is not said.
    lines: Option<usize>,
}

fn one() -> usize {
    1
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "fs_read",
        title: "Read a file",
        description: "Reads a text file, or some lines of it. At most 1 MiB comes at once; `more` says that there is more.",
        effect: Effect::Read,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, read)
}

async fn read(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Text, Error> {
    let place = Place::parse(&input.path)?;
    let roots = workshop.roots(&caller.principal)?;
    let root = input.root.as_deref();
    roots.read(root, place, input.first_line, input.lines).await
}
