//! `run_tests`: run tests.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::Deserialize;
use serde_json::Value;

use super::{Output, Selection, run};
use crate::tools::{Effect, Spec, Tool, ToolCall, Workshop, to_value};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct Input {
    /// The name of the runner: a `[tools.tests.<name>]` of the configuration.
    runner: String,
    /// Files of tests, relative to the runner's folder; all if there are none.
    #[serde(default)]
    files: Vec<String>,
    /// A part of the names of tests.
    name: Option<String>,
}

/// The tool.
pub(super) struct RunTests {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl RunTests {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Input, Output>(
            "run_tests",
            "Run tests",
            "Runs the tests that the configuration names so, with the project's own runner, and tells which have failed and why.",
            Effect::Exec,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let Input {
            runner,
            files,
            name,
        } = call.input()?;
        let chosen = Selection { files, name };
        to_value(&run(&self.workshop, &call, &runner, chosen).await?)
    }
}

impl Tool for RunTests {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
