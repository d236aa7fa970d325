//! `run_playwright`: run playwright.

use std::sync::Arc;

use rungs::Error;

use super::{Output, Selection, run};
use crate::tools::{Caller, Effect, Origin, Typed, Words, Workshop};

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "run_playwright",
        title: "Run Playwright",
        description: "Runs the project's Playwright tests in a browser, all or some, and tells which have failed and why.",
        effect: Effect::Exec,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, playwright)
}

async fn playwright(
    workshop: Arc<Workshop>,
    caller: Caller,
    chosen: Selection,
) -> Result<Output, Error> {
    run(&workshop, &caller, "playwright", chosen).await
}
