//! A server started for a while: its address read from its first line, killed when dropped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::workspace::command_line;

/// A running child process that announced `listening on <url>`.
pub(crate) struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Start `command` and wait, at most `patience`, for the line that names its address.
    ///
    /// The child's standard input stays open until the drop, so a child may treat its end as
    /// the order to stop.
    pub(crate) fn start(command: &mut Command, patience: Duration) -> Result<Self> {
        let line = command_line(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start `{line}`"))?;
        let stdout = child.stdout.take();
        let mut server = Self {
            child,
            url: String::new(),
        };
        let (tell, told) = mpsc::sync_channel(1);
        let lines = BufReader::new(stdout.context("stdout is piped")?).lines();
        // Reads on after the address, so that a talkative child never blocks on a full pipe.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("listening on ") {
                    tell.try_send(url.trim_end_matches('/').to_owned()).ok();
                }
            }
        });
        server.url = told
            .recv_timeout(patience)
            .with_context(|| format!("`{line}` did not say where it listens"))?;
        Ok(server)
    }

    /// Where it listens, without a trailing slash.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
