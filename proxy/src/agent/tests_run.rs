use std::{
    collections::VecDeque,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rungs::Error;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::{Instant, timeout_at},
};

use crate::config::TestCommand;

/// How much of what tests print is kept: the end of it, in bytes.
const KEPT: usize = 16 << 10;

/// How a run of the tests ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestRun {
    /// Whether they passed.
    pub(super) passed: bool,
    /// The same in words: `passed`, `exit status: 1`, `no end after 60 s`.
    pub(super) ending: String,
    /// The end of what they printed.
    pub(super) output: String,
}

/// Runs the tests of a project in `folder`, at most until `deadline`.
///
/// The command is the configuration's, or was typed by the user: a list of words, and no shell. It has an environment of its own, a
/// process group of its own, and nothing of that group outlives this future.
///
/// # Errors
/// [`ErrorKind::Invalid`](rungs::ErrorKind::Invalid) if the command cannot be started.
pub(super) async fn run(
    tests: &TestCommand,
    folder: &Path,
    deadline: Instant,
) -> Result<TestRun, Error> {
    let mut child = start(tests, folder)?;
    let group = Group::of(&child);
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut printed, mut complained) = (Tail::default(), Tail::default());
    let patience = deadline.min(Instant::now() + tests.timeout);
    let ended = timeout_at(patience, async {
        let read = async { tokio::join!(printed.read(&mut out), complained.read(&mut err)) };
        tokio::pin!(read);
        // Whoever holds the pipes when the command itself has ended was started by it, and ends with it.
        tokio::select! {
            status = child.wait() => {
                drop(group);
                let _ = timeout_at(Instant::now() + Duration::from_secs(1), read).await;
                status
            }
            _ = &mut read => child.wait().await,
        }
    });
    let (passed, ending) = match ended.await {
        Ok(status) => told(status.map_err(|error| cannot(tests, error))?),
        Err(_) => (
            false,
            format!("no end after {} s", tests.timeout.as_secs_f64()),
        ),
    };
    let output = [complained.text(), printed.text()].join("\n");
    Ok(TestRun {
        passed,
        ending,
        output: output.trim().to_owned(),
    })
}

fn start(tests: &TestCommand, folder: &Path) -> Result<Child, Error> {
    let (program, arguments) = tests
        .argv
        .split_first()
        .ok_or_else(|| Error::invalid(format!("the tests `{}` have no command", tests.name)))?;
    let passed_on = ["PATH"]
        .into_iter()
        .chain(tests.env.iter().map(String::as_str));
    let passed_on = passed_on.filter_map(|name| Some((name, std::env::var_os(name)?)));
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("LANG", "C.UTF-8")
        .envs(passed_on)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| cannot(tests, error))
}

fn cannot(tests: &TestCommand, error: io::Error) -> Error {
    let program = tests.argv.first().map_or("", String::as_str);
    Error::invalid(format!(
        "the tests `{}` cannot be run: `{program}`: {error}",
        tests.name
    ))
    .with_source(error)
}

fn told(status: ExitStatus) -> (bool, String) {
    match status.success() {
        true => (true, "passed".to_owned()),
        false => (false, status.to_string()),
    }
}

/// The process group of a child; it is killed as a whole when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // There is none left where all have ended.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// The last bytes of a stream.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    /// Reads to the end; keeps what it has when it is dropped.
    async fn read(&mut self, from: &mut Option<impl AsyncRead + Unpin>) {
        let Some(from) = from else { return };
        let mut piece = vec![0; 8 << 10];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            self.0.extend(&piece[..read]);
            let over = self.0.len().saturating_sub(KEPT);
            self.0.drain(..over);
        }
    }

    fn text(mut self) -> String {
        String::from_utf8_lossy(self.0.make_contiguous()).into_owned()
    }
}
