//! `cargo xtask bench-proxy`: the gateway's own cost, against a bare reverse proxy.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::dist::{self, PACKAGES, Programs};
use crate::workspace::{cargo, must_succeed, root, said, target_dir};
use crate::{Record, doc_block};

/// How the programs are built.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    /// As they are released.
    Dist,
    /// As `cargo build --release` does.
    Release,
}

impl Build {
    fn programs(self) -> Result<Programs> {
        match self {
            Self::Dist => dist::build(),
            Self::Release => {
                must_succeed(cargo(&["build", "--release"])?.args(PACKAGES))?;
                Ok(Programs::within(&target_dir()?.join("release")))
            }
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Dist => "bench-proxy",
            Self::Release => "bench-proxy --release",
        }
    }
}

/// Build both programs, compare them, print the result and, when asked, record it.
pub(crate) fn run(build: Build, record: Record) -> Result<ExitCode> {
    let programs = build.programs()?;
    let mut load = Command::new(programs.load);
    let report = said(load.args(["compare", "--rungs"]).arg(programs.rungs))?;
    println!("{report}");
    if record == Record::Yes {
        let page = root()?.join("docs/PERFORMANCE.md");
        let block = build.command().replace(" --", "-");
        doc_block::replace(&page, &block, &recorded(build, &report))?;
        println!("recorded in {}", page.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The tables with the command and the machine they came from; the JSON line stays out.
fn recorded(build: Build, report: &str) -> String {
    let tables: Vec<&str> = report
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    format!(
        "`cargo xtask {}` on {}:\n\n{}",
        build.command(),
        processor(),
        tables.join("\n").trim()
    )
}

/// Processor model and core count, as far as the system tells.
fn processor() -> String {
    let facts = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = facts
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unnamed processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}
