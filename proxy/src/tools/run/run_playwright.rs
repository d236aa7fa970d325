//! `run_playwright`: run playwright.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use rungs::Error;
use serde_json::Value;

use super::{Output, Selection, run};
use crate::tools::{Effect, Spec, Tool, ToolCall, Workshop, to_value};

/// The tool.
pub(super) struct RunPlaywright {
    workshop: Arc<Workshop>,
    spec: Spec,
}

impl RunPlaywright {
    pub(super) fn new(workshop: Arc<Workshop>) -> Self {
        let spec = Spec::of::<Selection, Output>(
            "run_playwright",
            "Run Playwright",
            "Runs the project's Playwright tests in a browser, all or some, and tells which have failed and why.",
            Effect::Exec,
        );
        Self { workshop, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let chosen: Selection = call.input()?;
        to_value(&run(&self.workshop, &call, "playwright", chosen).await?)
    }
}

impl Tool for RunPlaywright {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
