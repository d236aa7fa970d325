//! `fs_write`: a text file, whole.

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
    /// What shall be in it, at most 4 MiB.
    text: String,
    /// A root by its name; the first if there is none.
    root: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// Its size, in bytes.
    size: usize,
    /// Whether there was none before.
    created: bool,
}

/// The tool.
pub(super) struct FsWrite {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl FsWrite {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "fs_write",
            "Write a file",
            "Writes a whole text file, with the folders that it needs. Whoever reads it meanwhile sees the old one. What other programs run or obey is not written: .git, CI files, startup files of shells.",
            Effect::Write,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        let roots = self.workshop.roots(&call.principal)?;
        let place = Place::parse(&input.path)?;
        let size = input.text.len();
        let created = roots
            .write(input.root.as_deref(), place, input.text)
            .await?;
        to_value(&Output { size, created })
    }
}

impl Tool for FsWrite {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
