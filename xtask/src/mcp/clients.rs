//! The official clients: Python's, TypeScript's and the Inspector's command line. Each lists the tools and calls every one of them
//! over both transports.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use super::{Bench, KEY, PATIENCE, built, script};
use crate::child::Server;
use crate::workspace::must_succeed;

pub(super) fn run(bench: &Bench) -> Result<ExitCode> {
    let rungs = built(&[])?;
    // The demo's scripted models answer behind a gateway that wants a key.
    let models = Server::start(
        Command::new(&rungs)
            .args(["demo", "--listen", "127.0.0.1:0"])
            .stderr(bench.log("models.log")?),
        PATIENCE,
    )?;
    let gateway = bench.gateway(&rungs, &format!("{}/v1", models.url()))?;
    let url = format!("{}/mcp", gateway.url());
    let config = bench.folder.join("rungs.toml");
    let arguments = script("mcp-arguments.json")?;

    let client = |mut command: Command| {
        command.arg(&url).arg(&rungs).arg(&config).arg(&arguments);
        must_succeed(&mut command)
    };
    let mut typescript = bench.node();
    typescript
        .arg("--preserve-symlinks-main")
        .arg(linked(bench, "node/client.mjs")?);
    client(typescript)?;
    let mut inspector = bench.node();
    inspector
        .arg(linked(bench, "node/inspector.mjs")?)
        .arg(bench.module("@modelcontextprotocol/inspector/clients/launcher/build/index.js"));
    client(inspector)?;
    let mut python = Command::new(python(bench)?);
    python
        .arg(script("python/mcp_client.py")?)
        .env("RUNGS_KEY", KEY);
    client(python)?;
    Ok(ExitCode::SUCCESS)
}

/// A script among the packages, where Node finds what it imports.
fn linked(bench: &Bench, path: &str) -> Result<PathBuf> {
    let source = script(path)?;
    let name = Path::new(path).file_name().context("a script has a name")?;
    let copy = bench.folder.join(name);
    std::fs::copy(&source, &copy).with_context(|| format!("copy {}", source.display()))?;
    Ok(copy)
}

/// An interpreter with the Python client.
fn python(bench: &Bench) -> Result<PathBuf> {
    let venv = bench.folder.join("venv");
    let python = venv.join("bin/python");
    if !bench.folder.join("venv/installed").exists() {
        must_succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let install = ["-m", "pip", "install", "--quiet", "mcp==2.3.*"];
        must_succeed(Command::new(&python).args(install))?;
        std::fs::write(venv.join("installed"), "").context("write a mark")?;
    }
    Ok(python)
}
