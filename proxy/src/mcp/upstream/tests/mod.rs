//! Against a scripted server: as a child process, which is this test program started again, and over HTTP.

use std::{collections::BTreeMap, io, time::Duration};

use rungs::ErrorKind;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::{Config, Source, World},
    tools::{Caller, Progress},
};

mod child;
mod listing;
mod remote;
mod scripted;

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The servers of a configuration.
fn configured(text: &str) -> Vec<config::Upstream> {
    Config::alone(&Source::new("test", text)).unwrap().upstreams
}

/// The scripted server as a child process called `s`.
fn child(script: &str, more: &str) -> String {
    let program = std::env::current_exe().unwrap();
    // Standard output belongs to the test harness, so the server speaks on another descriptor.
    let shell = r#"exec \"$0\" --exact mcp::upstream::tests::scripted::serve --ignored --nocapture 3>&1 >/dev/null"#;
    format!(
        "[[mcp]]\nname = \"s\"\ncommand = [\"sh\", \"-c\", \"{shell}\", \"{}\"]\nenv = {{ SCRIPT = \"{script}\", TOKEN = \"canary-k3J9x7Qm\" }}\n{more}\n",
        program.display()
    )
}

/// Servers of their own, with pins in memory.
fn upstreams(text: &str) -> Upstreams {
    let upstreams = Upstreams::new(Pins::in_memory());
    upstreams.adopt(&configured(text));
    upstreams
}

/// The names of what anybody may see now.
fn names(upstreams: &Upstreams) -> Vec<String> {
    let tools = upstreams.tools(&Principal::local());
    tools
        .iter()
        .map(|tool| tool.spec().name.to_string())
        .collect()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("waited too long for: {what}"));
}

/// Returns once the tool can be called.
async fn mounted(upstreams: &Upstreams, tool: &str) {
    until(tool, || names(upstreams).iter().any(|name| name == tool)).await;
}

/// Calls `s__<tool>` as the toolbox does.
async fn call(upstreams: &Upstreams, tool: &str, arguments: Value) -> Result<Value, rungs::Error> {
    call_with(
        upstreams,
        tool,
        arguments,
        Progress::default(),
        CancellationToken::new(),
    )
    .await
}

async fn call_with(
    upstreams: &Upstreams,
    tool: &str,
    arguments: Value,
    progress: Progress,
    cancelled: CancellationToken,
) -> Result<Value, rungs::Error> {
    let name = format!("s__{tool}");
    mounted(upstreams, &name).await;
    let tool = upstreams.tool(&name, &Principal::local()).await.unwrap();
    let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap();
    let mut caller = Caller::new(Principal::local());
    (caller.progress, caller.cancelled) = (progress, cancelled);
    let calling = tool.call(caller, arguments);
    tokio::time::timeout(PATIENCE, calling).await.unwrap()
}

/// What the scripted server has heard of cancellations.
async fn cancellations(upstreams: &Upstreams) -> u64 {
    let told = call(upstreams, "cancellations", json!({})).await.unwrap();
    told["structured"]["count"].as_u64().unwrap()
}

async fn until_cancelled(upstreams: &Upstreams, times: u64) {
    let waiting = async {
        while cancellations(upstreams).await < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}
