//! A child process under observation.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::uri::Authority;
use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that announced where it listens; killed when dropped.
pub(crate) struct Process {
    name: &'static str,
    address: Authority,
    pid: Pid,
    started: Instant,
    ready_after: Duration,
    child: Child,
    _drain: JoinSet<()>,
}

impl Process {
    /// Start `command` and wait for its line `listening on http://<address>`.
    pub(crate) async fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let pid = child.id().with_context(|| format!("{name} ended"))?;
        let pid = Pid::from_raw(pid.try_into()?);
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let announced = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    return Ok(address.trim_end_matches('/').parse()?);
                }
            }
            bail!("it ended without saying where it listens")
        };
        let address = timeout(PATIENCE, announced)
            .await
            .unwrap_or_else(|late| Err(late.into()))
            .with_context(|| format!("start {name}"))?;
        // Later output must not fill the pipe and block the child.
        let mut drain = JoinSet::new();
        drain.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            name,
            address,
            pid,
            started,
            ready_after: started.elapsed(),
            child,
            _drain: drain,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> &Authority {
        &self.address
    }

    /// Note that the server has just answered for the first time.
    pub(crate) fn is_ready(&mut self) {
        self.ready_after = self.started.elapsed();
    }

    /// From the start until it listened or, where that was checked, answered.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Tell it to end, and wait until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let stopped = async {
            kill(self.pid, Signal::SIGTERM)?;
            let status = timeout(PATIENCE, self.child.wait()).await??;
            ensure!(status.success(), "it ended with {status}");
            Ok(())
        };
        let stopped = stopped.await;
        stopped.with_context(|| format!("stop {}", self.name))
    }

    /// Processor time so far, in user and kernel mode, of all its threads.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let time = clock_getcpuclockid(self.pid).and_then(clock_gettime);
        let time = time.with_context(|| format!("read the clock of {}", self.name))?;
        Ok(time.into())
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("a VmRSS line")?.parse()?)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path).with_context(|| format!("read {path} of {}", self.name))
    }
}
