//! `cargo xtask crash --runs N`: the crash test of the suite, as often as wanted.

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{cargo, must_succeed};

/// Kills a gateway `runs` times.
pub(crate) fn run(runs: &str) -> Result<ExitCode> {
    let arguments = [
        "-p",
        "rungs-proxy",
        "--all-features",
        "--test",
        "gateway",
        "--",
        "crash",
        "--nocapture",
    ];
    let mut command = cargo(&["test"])?;
    must_succeed(command.args(arguments).env("RUNGS_CRASHES", runs))?;
    Ok(ExitCode::SUCCESS)
}
