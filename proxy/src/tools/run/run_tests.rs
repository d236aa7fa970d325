//! `run_tests`: run tests.

use std::sync::Arc;

use rmcp::schemars::{self, JsonSchema};
use rungs::Error;
use serde::Deserialize;

use super::{Output, Selection, run};
use crate::tools::{Caller, Effect, Origin, Typed, Words, Workshop};

#[derive(Debug, Deserialize, JsonSchema)]
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
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "run_tests",
        title: "Run tests",
        description: "Runs the tests that the configuration names so, with the project's own runner, and tells which have failed and why.",
        effect: Effect::Exec,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, tests)
}

async fn tests(workshop: Arc<Workshop>, caller: Caller, input: Input) -> Result<Output, Error> {
    let Input {
        runner,
        files,
        name,
    } = input;
    run(&workshop, &caller, &runner, Selection { files, name }).await
}
