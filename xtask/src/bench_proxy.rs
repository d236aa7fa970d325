//! `cargo xtask bench-proxy`: the gateway's own cost, against a bare reverse proxy.

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::workspace::{cargo, must_succeed, root, target_dir};
use crate::{Record, doc_block};

/// Build both programs, compare them, print the result and, when asked, record it.
pub(crate) fn run(record: Record) -> Result<ExitCode> {
    let packages = ["-p", "rungs-proxy", "-p", "rungs-load"];
    must_succeed(cargo(&["build", "--release"])?.args(packages))?;
    let release = target_dir()?.join("release");
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
        doc_block::replace(&page, "bench-proxy", &recorded(&report))?;
        println!("recorded in {}", page.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The tables with the command and the machine they came from; the JSON line stays out.
fn recorded(report: &str) -> String {
    let tables: Vec<&str> = report
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    format!(
        "`cargo xtask bench-proxy` on {}:\n\n{}",
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
