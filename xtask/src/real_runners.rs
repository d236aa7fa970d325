//! `cargo xtask real-runners`: the real Vitest, and the real Playwright with Debian's Chromium, run by the tools of the gateway.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    Record, doc_block,
    workspace::{cargo, must_succeed, root, target_dir},
};

/// What is left of the fixture after one passed, one failed and one left out.
const EXPECTED: [(&str, u64, u64, u64); 2] = [("run_vitest", 1, 1, 1), ("run_playwright", 1, 1, 0)];

/// Runs both, checks what they say, and records it when asked.
pub(crate) fn run(record: Record) -> Result<ExitCode> {
    ensure!(
        Path::new("/usr/bin/chromium").exists(),
        "there is no Chromium; as root: apt-get install chromium"
    );
    let folder = target_dir()?.join("real-runners");
    prepare(&folder)?;
    must_succeed(&mut cargo(&["build", "-p", "rungs-proxy"])?)?;
    let mut client = Client::start(&folder)?;
    let mut table = String::from(
        "| tool | passed | failed | left out | progress messages | seconds |\n|---|---|---|---|---|---|\n",
    );
    for (tool, passed, failed, skipped) in EXPECTED {
        let (result, heard) = client.call(tool)?;
        println!("{tool}: {result:#}");
        for (name, expected) in [("passed", passed), ("failed", failed), ("skipped", skipped)] {
            ensure!(
                result[name] == expected,
                "{tool}: `{name}` is {}, not {expected}",
                result[name]
            );
        }
        let failure = &result["failures"][0];
        ensure!(
            failure["name"]
                .as_str()
                .is_some_and(|name| name.contains("fails on purpose")),
            "{failure}"
        );
        ensure!(heard > 0, "{tool} has said nothing while it ran");
        let seconds = result["seconds"].as_f64().unwrap_or_default();
        table.push_str(&format!(
            "| `{tool}` | {passed} | {failed} | {skipped} | {heard} | {seconds:.1} |\n"
        ));
    }
    if record == Record::Yes {
        let page = root()?.join("docs/TOOLS.md");
        doc_block::replace(&page, "real-runners", &table)?;
        println!("recorded in {}", page.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The fixture with its packages, installed once.
fn prepare(folder: &Path) -> Result<()> {
    let fixture = root()?.join("proxy/tests/fixtures/runners");
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    must_succeed(
        Command::new("cp")
            .arg("-r")
            .arg(fixture.join("."))
            .arg(folder),
    )?;
    if !folder.join("node_modules/.bin/playwright").exists() {
        let mut npm = Command::new("npm");
        let npm = npm
            .args(["install", "--no-audit", "--no-fund"])
            .current_dir(folder);
        must_succeed(npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))?;
    }
    let config = "[store]\nurl = \"memory:\"\n\n[tools]\nroots = [\".\"]\nallow = [\"exec\"]\nuntrusted = \"allow\"\n";
    fs::write(folder.join("rungs.toml"), config).context("write the configuration")
}

/// An MCP client that speaks to `rungs mcp` over its standard streams.
struct Client {
    server: Child,
    answers: BufReader<std::process::ChildStdout>,
    last: u64,
}

impl Client {
    fn start(folder: &Path) -> Result<Self> {
        let mut server = Command::new(target_dir()?.join("debug/rungs"))
            .args(["mcp", "--config", "rungs.toml"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the gateway")?;
        let answers = BufReader::new(server.stdout.take().context("stdout is piped")?);
        let mut client = Self {
            server,
            answers,
            last: 0,
        };
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "xtask", "version": "0" } });
        client.ask("initialize", hello)?;
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(client)
    }

    /// Calls a tool; gives its structured result and how often it has told its progress.
    fn call(&mut self, tool: &str) -> Result<(Value, usize)> {
        let params = json!({ "name": tool, "arguments": {}, "_meta": { "progressToken": tool } });
        let (answer, heard) = self.ask("tools/call", params)?;
        let result = answer["result"]["structuredContent"].clone();
        ensure!(result.is_object(), "{tool} has no result: {answer}");
        Ok((result, heard))
    }

    fn ask(&mut self, method: &str, params: Value) -> Result<(Value, usize)> {
        self.last += 1;
        let id = self.last;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        let mut heard = 0;
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(
                self.answers.read_line(&mut line)? > 0,
                "the gateway has ended"
            );
            let message: Value =
                serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))?;
            match message {
                message if message["id"] == id => return Ok((message, heard)),
                message => heard += usize::from(message["method"] == "notifications/progress"),
            }
        }
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        let stdin = self.server.stdin.as_mut().context("stdin is piped")?;
        writeln!(stdin, "{message}").context("write to the gateway")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It ends by itself when its input does.
        drop(self.server.stdin.take());
        self.server.wait().ok();
    }
}
