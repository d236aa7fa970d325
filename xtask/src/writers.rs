//! `cargo xtask writers --seconds N`: R30, many writers on one SQLite file.

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{cargo, must_succeed};

/// 64 writers for so long.
pub(crate) fn run(seconds: &str) -> Result<ExitCode> {
    let arguments = [
        "-p",
        "rungs",
        "--all-features",
        "--test",
        "stores",
        "--",
        "sixty_four_writers",
        "--nocapture",
    ];
    let mut command = cargo(&["test"])?;
    must_succeed(command.args(arguments).env("RUNGS_WRITER_SECONDS", seconds))?;
    Ok(ExitCode::SUCCESS)
}
