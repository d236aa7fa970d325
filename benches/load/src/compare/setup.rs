//! The servers under comparison and the folder that holds the gateways' files.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use anyhow::{Context, Result};
use http::uri::{Authority, Scheme, Uri};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::process::Process;
use crate::load;

const KEY: &str = "sk-load-7f3a91c04be85d26";
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway's configuration: keys checked, one model, everything else as it comes.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
auth = "keys"

[[key]]
name = "load"
key = "@KEY@"
@BUDGET@

[log]
level = "warn"

[store]
url = "@STORE@"

[[provider]]
name = "up"
dialect = "openai"
base_url = "http://@UPSTREAM@/v1"
allow_private = true

[[model]]
id = "bench"
provider = "up"
upstream = "bench"
tier = "L1"
capabilities = ["general"]
context_window = 128000
price = { input = "0.15", output = "0.60" }
"#;

/// Whether a gateway keeps its promises about money.
#[derive(Clone, Copy)]
enum Money {
    /// Budgets on the key, and every row on the disk before its answer ends.
    Held,
    /// No budget, and rows in memory alone.
    Waived,
}

/// Everything a measurement needs, running.
pub(crate) struct Setup {
    pub(crate) upstream: Process,
    pub(crate) bare: Process,
    /// The gateway as it comes, with budgets on its key.
    pub(crate) rungs: Process,
    /// The gateway without budgets and without a ledger on the disk: what these two cost is the difference.
    pub(crate) waived: Process,
    folder: PathBuf,
}

impl Setup {
    /// Start the upstream, the bare proxy and both gateways, and wait until all answer.
    pub(crate) async fn start(rungs: &Path) -> Result<Self> {
        let folder = env::temp_dir().join(format!("rungs-load-{}", process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;

        let this = env::current_exe().context("locate the running program")?;
        let mut command = Command::new(&this);
        let upstream = Process::start("the upstream", command.arg("upstream")).await?;
        let address = upstream.address().as_str();
        let mut command = Command::new(&this);
        let command = command.args(["bare", "--upstream", address]);
        let bare = Process::start("the bare proxy", command).await?;
        let held = start_rungs(rungs, &folder, address, Money::Held).await?;
        let waived = start_rungs(rungs, &folder, address, Money::Waived).await?;
        Ok(Self {
            upstream,
            bare,
            rungs: held,
            waived,
            folder,
        })
    }

    /// A load on one of them.
    pub(crate) fn load(&self, process: &Process) -> load::Options {
        load::Options {
            url: url(process.address(), "/v1/chat/completions"),
            requests: 0,
            concurrency: 1,
            rate: None,
            stream: false,
            key: Some(KEY.to_owned()),
            prompt_bytes: 1000,
            script: String::new(),
        }
    }

    /// Stop the servers and remove the gateways' files; after a failure they stay for a look.
    pub(crate) async fn remove(self) -> Result<()> {
        for process in [self.rungs, self.waived, self.bare, self.upstream] {
            process.stop().await?;
        }
        let folder = self.folder;
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
    }
}

async fn start_rungs(
    program: &Path,
    folder: &Path,
    upstream: &str,
    money: Money,
) -> Result<Process> {
    let (name, file, budget, store) = match money {
        Money::Held => (
            "the gateway",
            "rungs",
            r#"budget = ["1000000/day", "10000000/month"]"#,
            format!("sqlite:{}/rungs.db", folder.display()),
        ),
        Money::Waived => (
            "the gateway without money",
            "waived",
            "",
            "memory:".to_owned(),
        ),
    };
    let config = folder.join(file).with_extension("toml");
    let text = CONFIG
        .replace("@KEY@", KEY)
        .replace("@BUDGET@", budget)
        .replace("@STORE@", &store)
        .replace("@UPSTREAM@", upstream);
    fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
    let log = folder.join(file).with_extension("log");
    let mut command = Command::new(program);
    command
        .args(["serve", "--config"])
        .arg(config)
        .stderr(File::create(&log).with_context(|| format!("create {}", log.display()))?);
    let started = async {
        let mut rungs = Process::start(name, &mut command).await?;
        until_ready(rungs.address()).await?;
        rungs.is_ready();
        anyhow::Ok(rungs)
    };
    started
        .await
        .with_context(|| format!("its messages lie in {}", log.display()))
}

async fn until_ready(address: &Authority) -> Result<()> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let ready = async {
        loop {
            let answer = client.get(url(address, "/ready")).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, ready)
        .await
        .context("GET /ready never succeeded")
}

fn url(address: &Authority, path: &'static str) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(address.clone());
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static(path));
    Uri::from_parts(parts).expect("scheme, authority and path make a URL")
}
