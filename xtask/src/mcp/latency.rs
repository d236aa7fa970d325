//! How long a client waits for the list of tools, and for a tool that reads, over standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use crate::workspace::{cargo, must_succeed, root, target_dir};
use crate::{Record, doc_block};

const WARM_UP: usize = 200;
const ROUNDS: usize = 5_000;

/// What a wait may be at the 99th percentile.
const TARGET: Duration = Duration::from_millis(2);

const QUESTIONS: [(&str, &str); 2] = [
    ("tools/list", r#""method":"tools/list","params":{}"#),
    (
        "tools/call of explain_route",
        r#""method":"tools/call","params":{"name":"explain_route","arguments":{"message":"What is the capital of France?"}}"#,
    ),
];

pub(super) fn run(bench: &Bench, record: Record) -> Result<ExitCode> {
    must_succeed(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "rungs-proxy",
    ])?)?;
    bench.configure("http://127.0.0.1:9/v1")?;
    let mut client = Client::start(&target_dir()?.join("release/rungs"), &bench.folder)?;
    client.ask(
        r#""method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"latency","version":"1"}}"#,
    )?;
    let mut table = String::from("| message | p50 | p99 |\n|---|---|---|\n");
    let mut within = true;
    for (name, question) in QUESTIONS {
        let waits = waits(&mut client, question)?;
        let [half, most] = [50, 99].map(|percent| waits[waits.len() * percent / 100]);
        table += &format!(
            "| {name} | {} µs | {} µs |\n",
            half.as_micros(),
            most.as_micros()
        );
        within &= most < TARGET;
    }
    println!("{table}");
    if record == Record::Yes {
        let page = root()?.join("docs/MCP.md");
        doc_block::replace(&page, "mcp-latency", &table)?;
        println!("recorded in {}", page.display());
    }
    Ok(match within {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// How long each answer took, shortest first.
fn waits(client: &mut Client, question: &str) -> Result<Vec<Duration>> {
    for _ in 0..WARM_UP {
        client.ask(question)?;
    }
    let mut waits = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        client.ask(question)?;
        waits.push(began.elapsed());
    }
    waits.sort_unstable();
    Ok(waits)
}

/// A client by hand: its own work must not be most of what is measured.
struct Client {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    line: String,
}

impl Client {
    fn start(rungs: &Path, folder: &Path) -> Result<Self> {
        let mut child = Command::new(rungs)
            .arg("mcp")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start rungs mcp")?;
        Ok(Self {
            to: child.stdin.take().context("stdin is piped")?,
            from: BufReader::new(child.stdout.take().context("stdout is piped")?),
            line: String::new(),
            child,
        })
    }

    fn ask(&mut self, question: &str) -> Result<()> {
        writeln!(self.to, r#"{{"jsonrpc":"2.0","id":1,{question}}}"#)?;
        self.line.clear();
        self.from.read_line(&mut self.line)?;
        let answered = self.line.contains(r#""id":1,"result""#);
        anyhow::ensure!(answered, "no answer: {}", self.line);
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
