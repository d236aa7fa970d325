//! `cargo xtask budget --runs N`: processes that share a budget, as many random runs as wanted.

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{cargo, must_succeed};

/// Runs the tests of `tests/shared_budgets`, the random one `runs` times.
pub(crate) fn run(runs: &str) -> Result<ExitCode> {
    let arguments = [
        "-p",
        "rungs",
        "--all-features",
        "--test",
        "shared_budgets",
        "--",
        "--nocapture",
        "--test-threads=1",
    ];
    let mut command = cargo(&["test"])?;
    must_succeed(command.args(arguments).env("RUNGS_BUDGET_RUNS", runs))?;
    Ok(ExitCode::SUCCESS)
}
