//! `cargo xtask test`: everything a change must pass, in the order that fails soonest.
//!
//! The children's output streams to the terminal as it comes. The last line is always
//! `N passed, N failed`, summed over the runners' own summaries.

pub(crate) mod servers;
mod tally;

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result};

use crate::workspace::{cargo, command_line};
use tally::Tally;

/// Run every step, stopping at the first that fails.
pub(crate) fn run() -> Result<ExitCode> {
    servers::require()?;
    let mut total = Tally::default();
    let mut outcome = ExitCode::SUCCESS;
    for mut step in steps()? {
        let line = command_line(&step);
        println!("\n> {line}");
        let (status, tally) = stream(&mut step).with_context(|| format!("run `{line}`"))?;
        total += tally;
        if !status.success() {
            // A step that fails before it names a test still failed.
            total.failed += u64::from(tally.failed == 0);
            println!("\nstopped: `{line}` failed ({status})");
            outcome = ExitCode::FAILURE;
            break;
        }
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(outcome)
}

/// All but what the MCP conformance suite wants to find in a server: `cargo xtask mcp-conformance` tests that.
const TESTED: &str = "rungs/full,rungs/failpoints,rungs-proxy/failpoints,rungs-proxy/one-wall";

/// The library must build without its optional parts, and with each of them alone.
const FEATURES: [&str; 8] = [
    "", "hyper", "journal", "postgres", "redis", "reqwest", "sqlite", "testing",
];

fn steps() -> Result<Vec<Command>> {
    #[rustfmt::skip]
    let lines: [&[&str]; 5] = [
        &["fmt", "--all", "--check"],
        &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"],
        if has_nextest() {
            &["nextest", "run", "--workspace", "--features", TESTED, "--no-fail-fast", "--no-tests=pass"]
        } else {
            &["test", "--workspace", "--features", TESTED, "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"]
        },
        &["test", "--doc", "--workspace", "--all-features"],
        &["doc", "--no-deps", "--workspace", "--all-features"],
    ];
    let step = |line: &[&str]| {
        let mut step = cargo(line)?;
        if line[0] == "doc" {
            step.env("RUSTDOCFLAGS", "-D warnings");
        }
        Ok(step)
    };
    let mut steps: Vec<_> = lines.into_iter().map(step).collect::<Result<_>>()?;
    for feature in FEATURES {
        #[rustfmt::skip]
        let line = ["clippy", "-p", "rungs", "--no-default-features", "--features", feature, "--", "-D", "warnings"];
        steps.push(cargo(&line)?);
    }
    Ok(steps)
}

fn has_nextest() -> bool {
    cargo(&["nextest", "--version"])
        .and_then(|mut probe| Ok(probe.stdout(Stdio::null()).stderr(Stdio::null()).status()?))
        .is_ok_and(|status| status.success())
}

/// Run a command with its output passed on line by line and its summaries counted.
fn stream(command: &mut Command) -> Result<(ExitStatus, Tally)> {
    if io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().context("stdout is piped")?;
    let err = child.stderr.take().context("stderr is piped")?;
    let (out, err) = thread::scope(|scope| {
        let err = scope.spawn(|| pass_on(err, io::stderr()));
        let out = pass_on(out, io::stdout());
        (out, err.join())
    });
    let mut tally = out?;
    tally += err.map_err(|_| anyhow::anyhow!("the stderr reader panicked"))??;
    Ok((child.wait()?, tally))
}

fn pass_on(from: impl Read, mut to: impl Write) -> io::Result<Tally> {
    let mut from = BufReader::new(from);
    let mut tally = Tally::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        tally += Tally::of_line(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(tally)
}
