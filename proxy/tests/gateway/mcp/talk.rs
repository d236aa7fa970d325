//! Speaks MCP by hand, so that nothing is sent or heard that a test does not see.

use std::{path::Path, process::Stdio, time::Duration};

use rungs::testing::{Reply, Upstream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::support::*;

pub(crate) const STATELESS: &str = "2026-07-28";
pub(super) const OLDER: &str = "2025-11-25";

/// The models of [`config`], all of whom know one thing.
pub(super) async fn models() -> Upstream {
    let all = ["small", "medium", "large"];
    let known = |name| scripted(name, Reply::text("Paris is the capital of France."));
    Upstream::serve(all.map(known)).await.unwrap()
}

/// A gateway's configuration with one free model on each of three tiers.
pub(super) fn config(base_url: &str, more: &str) -> String {
    format!(
        "{more}\n{}{}{}{}",
        provider("p", base_url),
        bounded("small", "L0"),
        bounded("medium", "L1"),
        bounded("large", "L2"),
    )
}

fn bounded(id: &str, tier: &str) -> String {
    model(
        id,
        "p",
        tier,
        "price = 0\ncontext_window = 8000\nmax_output = 500",
    )
}

/// A message of the older revisions.
pub(super) fn message(id: u32, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A message of the revision that needs no session: it says itself what it is of.
pub(crate) fn stateless(id: u32, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    message(id, method, params)
}

pub(super) fn initialize(id: u32) -> Value {
    let params = json!({
        "protocolVersion": OLDER,
        "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    });
    message(id, "initialize", params)
}

pub(crate) fn call(tool: &str, arguments: Value) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

/// A POST of a message to `/mcp`, with the headers of its revision.
pub(super) fn post(gateway: &Gateway, message: &Value) -> reqwest::RequestBuilder {
    let request = gateway
        .post("/mcp", message.to_string())
        .header("accept", "application/json, text/event-stream");
    let version = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    let Some(version) = version.as_str() else {
        return request;
    };
    let request = request
        .header("mcp-protocol-version", version)
        .header("mcp-method", message["method"].as_str().unwrap());
    let named = &message["params"]["name"];
    match named.as_str().or(message["params"]["uri"].as_str()) {
        Some(name) => request.header("mcp-name", name),
        None => request,
    }
}

/// Sends a message and reads the answer, plain or the last one of a stream.
pub(crate) async fn send(gateway: &Gateway, message: &Value) -> Answer {
    Answer::read(post(gateway, message).send().await.unwrap()).await
}

/// The result in an answer.
pub(super) fn result(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let last = match answer.header("content-type") {
        "text/event-stream" => {
            let events = answer.events();
            let last = events.into_iter().rfind(|event| !event.is_empty());
            serde_json::from_str(last.unwrap()).unwrap()
        }
        _ => answer.json(),
    };
    assert!(last.get("result").is_some(), "{last}");
    last["result"].clone()
}

/// What a tool says, by the revision without sessions.
pub(super) async fn tool(gateway: &Gateway, name: &str, arguments: Value) -> Value {
    let message = stateless(1, "tools/call", call(name, arguments));
    result(&send(gateway, &message).await)
}

/// `rungs mcp` in a folder; it ends with this.
pub(super) struct Mcp {
    pub(super) child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Mcp {
    pub(super) fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_with(folder, &[], environment)
    }

    pub(super) fn start_with(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rungs"))
            .arg("mcp")
            .args(args)
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    pub(super) async fn say(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes()).await;
    }

    /// The next line; each of them is a message of JSON-RPC. None at the end.
    pub(super) async fn hear(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line());
        let line = line.await.expect("nothing is said").unwrap()?;
        let message: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        Some(message)
    }

    /// Asks, and gives the answer, past everything else that is said.
    pub(super) async fn ask(&mut self, message: &Value) -> Value {
        self.say(message).await;
        loop {
            let heard = self.hear().await.expect("it has ended");
            if heard["id"] == message["id"] {
                return heard;
            }
        }
    }

    /// Closes standard input.
    pub(super) fn close(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> std::process::ExitStatus {
        let ended = tokio::time::timeout(Duration::from_secs(5), self.child.wait());
        ended.await.expect("it does not end").unwrap()
    }
}
