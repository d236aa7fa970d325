//! `cargo xtask real-mcp`: published MCP servers behind the gateway: each is mounted, its tools are listed, and one drives a browser.

mod packages;
mod page;
mod talk;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Record;
use crate::doc_block;
use crate::test::servers;
use crate::workspace::{cargo, command_line, must_succeed, root, target_dir};
use packages::{PACKAGES, Package, Registry};
use talk::Talk;

/// Mounts all, and records what they list when asked.
pub(crate) fn run(record: Record) -> Result<ExitCode> {
    servers::require_programs(&[("chromium", "chromium")])?;
    let folder = target_dir()?.join("real-mcp");
    for package in &PACKAGES {
        package.install(&folder)?;
    }
    must_succeed(&mut cargo(&["build", "-p", "rungs-proxy"])?)?;
    configure(&folder)?;

    let listed = rungs(&folder, &["mcp", "list", "--json"])?;
    let servers: Vec<Value> = serde_json::from_str(&listed).context("read the list of servers")?;
    ensure!(
        servers.len() == PACKAGES.len(),
        "not all servers are listed"
    );
    let mut table = String::from("| system | package | revision | tools |\n|---|---|---|---|\n");
    let mut wrong = Vec::new();
    for (package, server) in PACKAGES.iter().zip(&servers) {
        let tools = server["tools"].as_array().map_or(0, Vec::len);
        if server["status"] != "up" || tools != package.tools {
            wrong.push(format!(
                "{}: {tools} tools instead of {}; {server}",
                package.name, package.tools
            ));
        }
        writeln!(table, "{}", row(package, server, tools))?;
    }
    print!("{table}");
    ensure!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
    let climbed = drive(&folder)?;
    println!("{climbed}");
    if record == Record::Yes {
        let page = root()?.join("docs/MCP-UPSTREAM.md");
        doc_block::replace(&page, "real-mcp", &format!("{table}\n{climbed}"))?;
        println!("recorded in {}", page.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// A configuration with all servers, and no memory of an earlier run.
fn configure(folder: &Path) -> Result<()> {
    let state = folder.join("state");
    if state.exists() {
        fs::remove_dir_all(&state).with_context(|| format!("clear {}", state.display()))?;
    }
    for made in [&state, &folder.join("empty")] {
        fs::create_dir_all(made).with_context(|| format!("create {}", made.display()))?;
    }
    let mut text = String::from(
        "[store]\nurl = \"sqlite:state/rungs.db\"\n[tools]\nallow = [\"net\"]\nuntrusted = \"allow\"\n",
    );
    for package in &PACKAGES {
        text += &package.entry(folder);
    }
    fs::write(folder.join("rungs.toml"), text).context("write the configuration")
}

fn row(package: &Package, server: &Value, tools: usize) -> String {
    let registry = match package.registry {
        Registry::Npm => "npm",
        Registry::Pypi => "PyPI",
    };
    let about = server["about"].as_str().unwrap_or_default();
    let revision = about.rsplit(' ').next().unwrap_or_default();
    let Package {
        name,
        package,
        version,
        ..
    } = package;
    format!("| {name} | {registry} `{package}` {version} | {revision} | {tools} |")
}

/// Lists all tools through the gateway's own MCP server, and lets Playwright's open a page in Chromium, press its button and read
/// what changed.
fn drive(folder: &Path) -> Result<String> {
    let url = page::serve()?;
    let mut talk = Talk::start(&target_dir()?.join("debug/rungs"), folder)?;
    let names = talk.tools()?;
    for package in &PACKAGES {
        let prefix = format!("{}__", package.name);
        let served = names
            .iter()
            .filter(|name| name.starts_with(&prefix))
            .count();
        ensure!(
            served == package.tools,
            "{served} tools of {} are served",
            package.name
        );
    }
    let read = json!({ "function": "() => document.querySelector('h1').textContent" });
    talk.call("playwright__browser_navigate", json!({ "url": url }))?;
    let before = talk.call("playwright__browser_evaluate", read.clone())?;
    talk.call(
        "playwright__browser_click",
        json!({ "element": "Climb", "target": "button" }),
    )?;
    let after = talk.call("playwright__browser_evaluate", read)?;
    ensure!(
        before.contains(page::BEFORE) && after.contains(page::AFTER),
        "the page was not driven: {before}, {after}"
    );
    Ok(format!(
        "All of them are served by `rungs mcp`. Through it, Playwright's opened a page of this computer in Chromium, read \"{}\", pressed \
         its button, and read \"{}\".",
        page::BEFORE,
        page::AFTER
    ))
}

/// What the built gateway's command prints.
fn rungs(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(target_dir()?.join("debug/rungs"));
    command
        .args(arguments)
        .current_dir(folder)
        .stderr(Stdio::inherit());
    let line = command_line(&command);
    let output = command
        .output()
        .with_context(|| format!("start `{line}`"))?;
    // A server that is down makes the list fail; what is listed says which.
    ensure!(
        !output.stdout.is_empty(),
        "`{line}` failed ({})",
        output.status
    );
    String::from_utf8(output.stdout).context("what is printed is UTF-8")
}
