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
    for filter in ["sandbox::", "tools::"] {
        let mut tests = cargo(&[
            "test",
            "-p",
            "rungs-proxy",
            "--all-features",
            "--bin",
            "rungs",
            filter,
        ])?;
        must_succeed(tests.env("RUNGS_RACES", RACES))?;
    }
    Ok(ExitCode::SUCCESS)
}
