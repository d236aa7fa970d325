//! `cargo xtask bench-proxy`: the gateway's own cost, against a bare reverse proxy.

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::workspace::{cargo, must_succeed, root, target_dir};
use crate::{Record, doc_block};

/// Which build of both programs is compared.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Release,
    /// With link-time optimisation.
    Dist,
}

impl Profile {
    /// Its name, which is also that of its folder.
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }

    /// Where the page has its tables.
    fn block(self) -> &'static str {
        match self {
            Self::Release => "bench-proxy",
            Self::Dist => "bench-proxy-dist",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Release => "cargo xtask bench-proxy",
            Self::Dist => "cargo xtask bench-proxy --dist",
        }
    }
}

/// Build both programs, compare them, print the result and, when asked, record it.
pub(crate) fn run(profile: Profile, record: Record) -> Result<ExitCode> {
    let packages = ["-p", "rungs-proxy", "-p", "rungs-load"];
    must_succeed(cargo(&["build", "--profile", profile.name()])?.args(packages))?;
    let release = target_dir()?.join(profile.name());
    let output = Command::new(release.join("rungs-load"))
        .args(["compare", "--rungs"])
        .arg(release.join("rungs"))
        .stderr(Stdio::inherit())
        .output()
        .context("start rungs-load")?;
    let report = String::from_utf8(output.stdout).context("the report is UTF-8")?;
    println!("{report}");
    anyhow::ensure!(
        output.status.success(),
        "rungs-load failed ({})",
        output.status
    );
    if record == Record::Yes {
        let page = root()?.join("docs/PERFORMANCE.md");
        doc_block::replace(&page, profile.block(), &recorded(profile, &report))?;
        println!("recorded in {}", page.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The tables with the command and the machine they came from; the JSON line stays out.
fn recorded(profile: Profile, report: &str) -> String {
    let tables: Vec<&str> = report
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    format!(
        "`{}` on {}:\n\n{}",
        profile.command(),
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
