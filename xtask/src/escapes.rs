//! `cargo xtask escapes`: everything that tries to get out of the sandbox, with the race at its full length.

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{cargo, must_succeed};

/// How often a link is swapped in while a file is read.
const RACES: &str = "100000";

/// Runs the tests of the walls.
pub(crate) fn run() -> Result<ExitCode> {
    must_succeed(&mut cargo(&[
        "build",
        "-p",
        "rungs-proxy",
        "--all-features",
    ])?)?;
    for tests in [
        ["--bin", "rungs", "sandbox::"],
        ["--bin", "rungs", "tools::"],
        ["--test", "gateway", "agent::jail::"],
    ] {
        let all = ["test", "-p", "rungs-proxy", "--all-features"];
        let mut run = cargo(&[&all[..], &tests[..]].concat())?;
        must_succeed(run.env("RUNGS_RACES", RACES))?;
    }
    Ok(ExitCode::SUCCESS)
}
