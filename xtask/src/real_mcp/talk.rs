//! A client of the gateway's MCP server on standard input and output.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A conversation with `rungs mcp`, which ends with this.
pub(super) struct Talk {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    asked: u32,
}

impl Talk {
    /// Starts it in a folder with a configuration, and says hello.
    pub(super) fn start(rungs: &Path, folder: &Path) -> Result<Self> {
        let mut child = Command::new(rungs)
            .arg("mcp")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start `rungs mcp`")?;
        let stdin = child.stdin.take().context("stdin is piped")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut talk = Self {
            child,
            stdin,
            lines: BufReader::new(stdout).lines(),
            asked: 0,
        };
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "xtask", "version": "0" },
        });
        talk.ask("initialize", hello)?;
        talk.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(talk)
    }

    /// The names of all tools, page by page.
    pub(super) fn tools(&mut self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let params = match &cursor {
                Value::Null => json!({}),
                cursor => json!({ "cursor": cursor }),
            };
            let mut page = self.ask("tools/list", params)?;
            let tools = page["tools"].as_array().cloned().unwrap_or_default();
            names.extend(
                tools
                    .iter()
                    .filter_map(|tool| tool["name"].as_str().map(str::to_owned)),
            );
            cursor = page["nextCursor"].take();
            if cursor.is_null() {
                return Ok(names);
            }
        }
    }

    /// What a tool gives, as text; an error if it could not do it.
    pub(super) fn call(&mut self, tool: &str, arguments: Value) -> Result<String> {
        let result = self.ask(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )?;
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        match result["isError"].as_bool() {
            Some(true) => bail!("`{tool}` failed: {text}"),
            _ => Ok(text.to_owned()),
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        self.asked += 1;
        let id = self.asked;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        loop {
            let line = self.lines.next().context("`rungs mcp` ended")??;
            let mut said: Value = serde_json::from_str(&line).context("read a message")?;
            match said.get("id") == Some(&id.into()) {
                true if said.get("error").is_some() => bail!("`{method}` failed: {line}"),
                true => return Ok(said["result"].take()),
                false => {}
            }
        }
    }

    fn say(&mut self, message: &Value) -> Result<()> {
        writeln!(self.stdin, "{message}").context("write to `rungs mcp`")
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
