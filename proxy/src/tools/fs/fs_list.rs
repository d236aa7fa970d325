//! `fs_list`: a folder.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    sandbox::{Entry, Place},
    tools::{Effect, Spec, Tool, ToolCall, Workshop, to_value},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
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
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// The names of all roots.
    roots: Vec<String>,
    /// What is there.
    entries: Vec<Entry>,
    /// Whether there is more than was listed.
    more: bool,
}

/// The tool.
pub(super) struct FsList {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl FsList {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "fs_list",
            "List a folder",
            "Lists what is in a folder, and in the folders below it if `depth` says so. Links are shown, not followed.",
            Effect::Read,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        let roots = self.workshop.roots(&call.principal)?;
        let place = Place::parse(&input.path)?;
        let depth = input.depth.clamp(1, 16);
        let listing = roots
            .list(input.root.as_deref(), place, depth, MOST)
            .await?;
        to_value(&Output {
            roots: roots.names().map(str::to_owned).collect(),
            entries: listing.entries,
            more: listing.more,
        })
    }
}

impl Tool for FsList {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
