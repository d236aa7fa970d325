//! `fs_read`: a text file.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    sandbox::Place,
    tools::{Effect, Spec, Tool, ToolCall, Workshop, to_value},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
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

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// The text.
    text: String,
    /// The size of the whole file, in bytes.
    size: u64,
    /// Whether the file goes on after it.
    more: bool,
}

/// The tool.
pub(super) struct FsRead {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl FsRead {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "fs_read",
            "Read a file",
            "Reads a text file, or some lines of it. At most 1 MiB comes at once; `more` says that there is more.",
            Effect::Read,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        let roots = self.workshop.roots(&call.principal)?;
        let place = Place::parse(&input.path)?;
        let root = input.root.as_deref();
        let read = roots
            .read(root, place, input.first_line, input.lines)
            .await?;
        to_value(&Output {
            text: read.text,
            size: read.size,
            more: read.more,
        })
    }
}

impl Tool for FsRead {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
