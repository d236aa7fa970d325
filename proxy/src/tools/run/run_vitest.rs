//! `run_vitest`: run vitest.

use std::sync::Arc;

use rungs::Error;

use super::{Output, Selection, run};
use crate::tools::{Caller, Effect, Origin, Typed, Words, Workshop};

/// The tool.
pub(super) fn tool(workshop: &Arc<Workshop>) -> Typed {
    let words = Words {
        name: "run_vitest",
        title: "Run Vitest",
        description: "Runs the project's Vitest tests, all or some, and tells which have failed and why.",
        effect: Effect::Exec,
        origin: Origin::Found,
    };
    Typed::new(words, workshop, vitest)
}

async fn vitest(
    workshop: Arc<Workshop>,
    caller: Caller,
    chosen: Selection,
) -> Result<Output, Error> {
    run(&workshop, &caller, "vitest", chosen).await
}
