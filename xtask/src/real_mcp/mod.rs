//! `cargo xtask real-mcp`: published MCP servers behind the gateway: each is mounted and lists its tools, and one drives a browser.

mod packages;
mod page;

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
    let mut text = String::from("[store]\nurl = \"sqlite:state/rungs.db\"\n");
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

/// Lets Playwright's server open a page in Chromium, press its button and read what changed.
fn drive(folder: &Path) -> Result<String> {
    let url = page::serve()?;
    let code = format!(
        "async (page) => {{ await page.goto('{url}'); const before = await page.textContent('h1'); \
         await page.getByRole('button', {{ name: 'Climb' }}).click(); return before + ' -> ' + await page.textContent('h1'); }}"
    );
    let arguments = json!({ "code": code }).to_string();
    let said = rungs(
        folder,
        &["mcp", "call", "playwright__browser_run_code", &arguments],
    )?;
    ensure!(
        said.contains("At the foot -> One rung up"),
        "the page was not driven: {said}"
    );
    Ok("Playwright's server opened a page of this computer in Chromium, pressed its button, and read `At the foot -> One rung up`.".into())
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
