//! `fs_list`: a folder.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::{Deserialize, Serialize};

use crate::{
    sandbox::{Entry, Place},
    tools::{Caller, Effect, Origin, Typed, Words, Workshop},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The folder, relative to a root; the root itself if it is not said.
    #[serde(default)]
    path: String,
    /// A root by its name; the first if there is none.
    root: Option<String>,
    /// How many folders deep, at most 16.
    #[serde(default = "one")]
    depth: usize,
}

fn one() -> usize {
    1
}

/// The most entries of one listing.
const MOST: usize = 2000;

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The names of all roots.
    roots: Vec<String>,
    /// What is there.
    entries: Vec<Entry>,
    /// Whether there is more than was listed.
    more: bool,
}

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "fs_list",
        title: "List a folder",
        description: "Lists what is in a folder, and in the folders below it if `depth` says so. Links are shown, not followed.",
        effect: Effect::Read,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, list)
}

async fn list(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Output, Error> {
    let place = Place::parse(&input.path)?;
    let roots = workshop.roots(&caller.principal)?;
    let (root, depth) = (input.root.as_deref(), input.depth.clamp(1, 16));
    let listing = roots.list(root, place, depth, MOST).await?;
    Ok(Output {
        roots: roots.names().map(str::to_owned).collect(),
        entries: listing.entries,
        more: listing.more,
    })
}
