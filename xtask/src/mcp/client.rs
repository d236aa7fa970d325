//! The gateway as a client: the suite's servers, mounted by `rungs mcp`.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{Bench, built, conformance::count};
use crate::workspace::target_dir;

/// What concerns a gateway, with a revision that has it. Not `auth/*`: its credentials are headers that its operator writes, and it
/// asks nobody for tokens. Not elicitation and requests of several rounds: it passes no question of a server on to anybody.
const SCENARIOS: [(&str, &str); 10] = [
    ("initialize", "2025-11-25"),
    ("tools_call", "2025-11-25"),
    ("sse-retry", "2025-11-25"),
    ("json-schema-2020-12-preservation", "2025-11-25"),
    ("tools_call", "2026-07-28"),
    ("request-metadata", "2026-07-28"),
    ("http-standard-headers", "2026-07-28"),
    ("http-custom-headers", "2026-07-28"),
    ("http-invalid-tool-headers", "2026-07-28"),
    ("json-schema-ref-no-deref", "2026-07-28"),
];

/// Runs the scenarios; each starts [`act`] against a server of its own.
pub(super) fn run(bench: &Bench) -> Result<ExitCode> {
    built(&[])?;
    let program = std::env::current_exe().context("locate the running xtask")?;
    let (mut passed, mut failed) = (0, 0);
    for (scenario, revision) in SCENARIOS {
        let out = bench.folder.join("conformance-client");
        if out.exists() {
            fs::remove_dir_all(&out).with_context(|| format!("clear {}", out.display()))?;
        }
        bench
            .node()
            .arg(bench.module("@modelcontextprotocol/conformance/dist/index.js"))
            .args(["client", "--scenario", scenario, "--spec-version", revision])
            .arg("--command")
            .arg(format!("{} mcp-client", program.display()))
            .arg("-o")
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("start the conformance suite")?;
        let folder = fs::read_dir(&out)
            .with_context(|| format!("read {}", out.display()))?
            .next();
        let folder = folder.context("the suite wrote nothing")??;
        let count = count(scenario, &folder.path().join("checks.json"))?;
        println!(
            "{scenario} ({revision}): {} passed, {} failed",
            count.passed, count.failed
        );
        // A scenario that looked at nothing has shown nothing.
        failed += count.failed.max(usize::from(count.passed == 0));
        passed += count.passed;
    }
    println!("{passed} checks passed, {failed} failed");
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Mounts the server at `url`, lists its tools and calls each as the suite's scenario wants it.
pub(crate) fn act(url: &str) -> Result<ExitCode> {
    let folder = target_dir()?.join(format!("mcp/client-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let config = format!(
        "[store]\nurl = \"memory:\"\n[[mcp]]\nname = \"s\"\nurl = \"{url}\"\nallow_private = true\n"
    );
    fs::write(folder.join("rungs.toml"), config).context("write the configuration")?;
    let listed: Value = serde_json::from_str(&rungs(&folder, &["mcp", "list", "--json"])?)?;
    let tools = listed[0]["tools"]
        .as_array()
        .context("the server is down")?;
    let wanted = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_default();
    let wanted: Value = serde_json::from_str(&wanted).unwrap_or_default();
    let wanted = wanted["toolCalls"].as_array().cloned().unwrap_or_default();
    for tool in tools {
        let name = tool["name"].as_str().unwrap_or_default();
        let own = name.trim_start_matches("s__");
        let mut calls: Vec<Value> = wanted
            .iter()
            .filter(|call| call["name"] == own)
            .map(|call| call["arguments"].clone())
            .collect();
        if calls.is_empty() {
            calls.push(arguments(&tool["input"], &tools[0]["input"]));
        }
        for arguments in calls {
            rungs(&folder, &["mcp", "call", name, &arguments.to_string()])?;
        }
    }
    fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Some arguments that fit a schema; an object is the schema `seen` of another tool, which the suite wants to see again.
fn arguments(schema: &Value, seen: &Value) -> Value {
    let properties = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let some = properties.into_iter().map(|(name, schema)| {
        let value = match schema["type"].as_str() {
            Some("number" | "integer") => json!(5),
            Some("boolean") => json!(true),
            Some("object") => seen.clone(),
            Some("array") => json!([]),
            _ => json!("x"),
        };
        (name, value)
    });
    Value::Object(some.collect::<Map<_, _>>())
}

fn rungs(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(target_dir()?.join("debug/rungs"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .context("start rungs")?;
    String::from_utf8(output.stdout).context("what is printed is UTF-8")
}
