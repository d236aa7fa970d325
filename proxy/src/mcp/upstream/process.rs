//! A server that is a child process.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rungs::{Error, ErrorKind};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};
use tokio_util::task::TaskTracker;

use super::words::Words;
use crate::config::Variable;

/// How long a child may take to end after its standard input has ended.
const GRACE: Duration = Duration::from_secs(2);

/// A shorter value of a child's environment is no secret, and may be a part of any word.
const SHORTEST_SECRET: usize = 6;

/// Lines of a child's standard error that are logged in each minute.
const LINES_A_MINUTE: u32 = 300;

/// A running child in a process group of its own. The whole group is killed when this is dropped.
pub(super) struct Process {
    child: Child,
    group: Pid,
    /// Gives the last line of its standard error, once that has ended.
    words: JoinHandle<Option<String>>,
}

impl Process {
    /// Starts `program` with this environment and nothing else of ours; what it says on standard error goes to the log.
    pub(super) fn start(
        server: &Arc<str>,
        program: &str,
        arguments: &[String],
        env: &[Variable],
        tasks: &TaskTracker,
    ) -> Result<(Self, ChildStdout, ChildStdin), Error> {
        let failed = |why: String| Error::new(ErrorKind::Unavailable, why);
        let program =
            find(program, env).ok_or_else(|| failed(format!("there is no program `{program}`")))?;
        let mut child = Command::new(&program)
            .args(arguments)
            .env_clear()
            .envs(env.iter().map(|v| (&v.name, v.value.expose_secret())))
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed(format!("`{}` cannot be started: {e}", program.display())))?;
        let gone = || failed("it ended at once".into());
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = id.ok_or_else(gone)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let is_secret = |v: &&Variable| {
            let value = v.value.expose_secret();
            value.len() >= SHORTEST_SECRET && !["PATH", "HOME"].contains(&&*v.name)
        };
        let secrets = env.iter().filter(is_secret).map(|v| v.value.clone());
        let stderr = child.stderr.take().ok_or_else(gone)?;
        // It ends with the last process that holds the other end, and all of them are in the group.
        let words = tasks.spawn(relay(Arc::clone(server), stderr, secrets.collect()));
        let process = Self {
            child,
            group,
            words,
        };
        Ok((process, stdout.ok_or_else(gone)?, stdin.ok_or_else(gone)?))
    }

    /// What it has said last on standard error, if that has ended. To be asked once.
    pub(super) async fn last_words(&mut self) -> Option<String> {
        const PATIENCE: Duration = Duration::from_millis(200);
        let ended = tokio::time::timeout(PATIENCE, &mut self.words).await;
        ended.ok()?.ok().flatten()
    }

    /// Lets it end by itself, its standard input having ended, for a moment.
    pub(super) async fn stop(self) {
        const LOOK: Duration = Duration::from_millis(20);
        let ended = async {
            // It is looked at, and not waited for: while it is a zombie no other group can have its number.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            while let Ok(None) = waitid(WaitId::Pid(self.group), options) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(GRACE, ended).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child itself is killed, and reaped, by its own drop.
        if self.child.id().is_some() {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

/// The program's file: what an absolute path says, or the first of the name on the child's `PATH`.
fn find(program: &str, env: &[Variable]) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |path: &Path| {
        let file = path.metadata();
        file.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if Path::new(program).is_absolute() {
        return Some(program.into()).filter(|path: &PathBuf| is_program(path));
    }
    let path = env.iter().find(|variable| variable.name == "PATH")?;
    std::env::split_paths(path.value.expose_secret())
        .map(|folder| folder.join(program))
        .find(|path| path.is_absolute() && is_program(path))
}

/// Logs what a child says; gives the last of it.
async fn relay(
    server: Arc<str>,
    stderr: ChildStderr,
    secrets: Vec<SecretString>,
) -> Option<String> {
    let mut words = Words::new(stderr, secrets);
    let mut last = None;
    let (mut minute, mut lines) = (tokio::time::Instant::now(), 0_u32);
    while let Some(text) = words.next().await {
        if text.is_empty() {
            continue;
        }
        if minute.elapsed() >= Duration::from_secs(60) {
            if lines > LINES_A_MINUTE {
                tracing::warn!(%server, lines = lines - LINES_A_MINUTE, "said more than is logged");
            }
            (minute, lines) = (tokio::time::Instant::now(), 0);
        }
        lines = lines.saturating_add(1);
        if lines <= LINES_A_MINUTE {
            tracing::info!(%server, "says: {text}");
        }
        last = Some(text);
    }
    last
}
