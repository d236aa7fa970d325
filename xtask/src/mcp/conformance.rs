//! The official conformance suite, over HTTP, for both revisions. Checks are counted for each scenario: a scenario that has
//! nothing to look at passes too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Bench, built, script};
use crate::workspace::root;
use crate::{Record, doc_block};

const REVISIONS: [&str; 2] = ["2026-07-28", "2025-11-25"];

/// Extensions of the protocol that the gateway does not offer. The suite runs their scenarios and does not score them.
const NOT_OFFERED: [&str; 2] = ["tasks-", "sep-2640-skills-"];

#[derive(Deserialize)]
struct Check {
    id: String,
    status: String,
    #[serde(default, rename = "errorMessage")]
    error: Option<String>,
}

/// Checks of one scenario that passed, failed, or looked at nothing.
#[derive(Default)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
    other: usize,
}

pub(super) fn run(bench: &Bench, record: Record) -> Result<ExitCode> {
    let rungs = built(&["mcp-fixtures"])?;
    // The suite asks no model.
    let gateway = bench.gateway(&rungs, "http://127.0.0.1:9/v1")?;
    let url = format!("{}/mcp", gateway.url());
    let mut results = BTreeMap::new();
    for revision in REVISIONS {
        results.insert(revision, scenarios(bench, &url, revision)?);
    }
    drop(gateway);
    let table = table(&results);
    println!("{table}");
    if record == Record::Yes {
        let page = root()?.join("docs/MCP.md");
        doc_block::replace(&page, "mcp-conformance", &table)?;
        println!("recorded in {}", page.display());
    }
    let failed = results.values().flat_map(BTreeMap::values);
    let failed: usize = failed.map(|count| count.failed).sum();
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn scenarios(bench: &Bench, url: &str, revision: &str) -> Result<BTreeMap<String, Count>> {
    let out = bench.folder.join(format!("conformance-{revision}"));
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("clear {}", out.display()))?;
    }
    // Its status counts extensions too; what it wrote is what counts.
    bench
        .node()
        .arg("--import")
        .arg(script("node/token.mjs")?)
        .arg(bench.module("@modelcontextprotocol/conformance/dist/index.js"))
        .args(["server", "--url", url, "--requirements", revision, "-o"])
        .arg(&out)
        .stdout(Stdio::null())
        .status()
        .context("start the conformance suite")?;
    let mut counts = BTreeMap::new();
    for folder in fs::read_dir(&out).with_context(|| format!("read {}", out.display()))? {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        let name = scenario(&name);
        if !NOT_OFFERED
            .iter()
            .any(|extension| name.starts_with(extension))
        {
            counts.insert(
                name.to_owned(),
                count(name, &folder.path().join("checks.json"))?,
            );
        }
    }
    anyhow::ensure!(counts.len() > 20, "only {} scenarios ran", counts.len());
    Ok(counts)
}

/// `ping` of `server-ping-2026-11-24T21-28-13-175Z`.
fn scenario(folder: &str) -> &str {
    const MOMENT: usize = "-2026-11-24T21-28-13-175Z".len();
    let name = folder.strip_prefix("server-").unwrap_or(folder);
    &name[..name.len().saturating_sub(MOMENT)]
}

pub(super) fn count(scenario: &str, checks: &Path) -> Result<Count> {
    let text = fs::read(checks).with_context(|| format!("read {}", checks.display()))?;
    let checks: Vec<Check> = serde_json::from_slice(&text)?;
    let mut count = Count::default();
    for check in checks {
        match &*check.status {
            "SUCCESS" => count.passed += 1,
            "FAILURE" => {
                count.failed += 1;
                let why = check.error.unwrap_or_default();
                eprintln!("{scenario}: {}: {why}", check.id);
            }
            _ => count.other += 1,
        }
    }
    Ok(count)
}

fn table(results: &BTreeMap<&str, BTreeMap<String, Count>>) -> String {
    let mut names: Vec<&String> = results.values().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    let mut text = format!(
        "`{}`, checks that passed, that failed, and that had nothing to look at or only warn:\n\n| scenario |",
        super::PACKAGES[1]
    );
    for revision in REVISIONS {
        text += &format!(" {revision} |");
    }
    text += "\n|---|---|---|\n";
    for name in names {
        text += &format!("| {name} |");
        for revision in REVISIONS {
            text += &results[revision]
                .get(name)
                .map_or(" - |".to_owned(), |count| {
                    format!(" {} / {} / {} |", count.passed, count.failed, count.other)
                });
        }
        text += "\n";
    }
    for revision in REVISIONS {
        let counts = || results[revision].values();
        let (passed, failed): (usize, usize) = (
            counts().map(|c| c.passed).sum(),
            counts().map(|c| c.failed).sum(),
        );
        text += &format!(
            "\n{revision}: {} scenarios, {passed} checks passed, {failed} failed.",
            counts().count()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::scenario;

    #[test]
    fn a_scenario_is_named_by_its_folder() {
        let folder = "server-tools-call-image-2026-11-24T21-28-12-947Z";
        assert_eq!(scenario(folder), "tools-call-image");
        assert_eq!(
            scenario("server-server-stateless-2026-11-24T21-28-12-947Z"),
            "server-stateless"
        );
        assert_eq!(scenario("odd"), "");
    }
}
