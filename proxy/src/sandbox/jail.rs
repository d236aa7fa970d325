//! Programs in a jail, seen from the gateway.

use std::{
    collections::BTreeMap,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    pin::pin,
    process::Stdio,
    time::{Duration, Instant},
};

use futures_util::future::try_join3;
use rungs::{Error, ErrorKind};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use super::{
    inside::Role,
    output::{Captured, capture},
    policy::{Limits, Network, Policy, Report, Walls},
    scratch::Scratch,
};

/// Where programs are looked for that have no path.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How long killed processes may take to be gone.
const BURIAL: Duration = Duration::from_secs(10);

/// What a program may do. Without more words it can read the system and its folder, and nothing else.
///
/// Its environment is empty but for `PATH`, `LANG`, and `HOME` and `TMPDIR`, which are a folder of its own.
#[derive(Debug, Clone)]
pub(crate) struct Jail {
    policy: Policy,
    env: BTreeMap<String, String>,
}

/// How a program ended, and what it left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) verdict: Verdict,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
    pub(crate) took: Duration,
    /// Walls that this kernel does not offer; only where [`Walls::BestEffort`] accepts it.
    pub(crate) missing: Vec<String>,
    /// Its folder for temporary files; gone when this is dropped.
    pub(crate) scratch: Scratch,
}

/// Why a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal of its own.
    Signalled(i32),
    /// It was not done in time.
    TimedOut,
    /// It took more than it may, of what is named.
    OverLimit(String),
}

impl Verdict {
    /// Whether it ended with status 0.
    pub(crate) fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }
}

impl Jail {
    /// A jail whose programs start in `folder`, an absolute path, and may read what is in it.
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            policy: Policy {
                folder: folder.into(),
                readable: Vec::new(),
                writable: Vec::new(),
                hidden: Vec::new(),
                programs: Vec::new(),
                scratch: PathBuf::new(),
                network: Network::default(),
                limits: Limits::default(),
                walls: Walls::default(),
                without: None,
            },
            env: BTreeMap::new(),
        }
    }

    /// They may also read what is under `path`.
    #[must_use]
    pub(crate) fn readable(mut self, path: impl Into<PathBuf>) -> Self {
        self.policy.readable.push(path.into());
        self
    }

    /// They may also change what is under `path`.
    #[must_use]
    pub(crate) fn writable(mut self, path: impl Into<PathBuf>) -> Self {
        self.policy.writable.push(path.into());
        self
    }

    /// They find nothing at `paths`, wherever they may look else. In a folder that they may change that is the doing of one wall alone.
    #[must_use]
    pub(crate) fn hiding(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        self.policy.hidden.extend(paths);
        self
    }

    /// They may start `program` and no other that has not been allowed so; else all that they can read.
    #[must_use]
    pub(crate) fn only_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.policy.programs.push(program.into());
        self
    }

    /// What of a network they have.
    #[must_use]
    pub(crate) fn network(mut self, network: Network) -> Self {
        self.policy.network = network;
        self
    }

    /// How much they may take.
    #[must_use]
    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.policy.limits = limits;
        self
    }

    /// What to do where walls are missing.
    #[must_use]
    pub(crate) fn walls(mut self, walls: Walls) -> Self {
        self.policy.walls = walls;
        self
    }

    /// Takes a wall away, to see that the other holds alone.
    #[cfg(all(test, feature = "one-wall"))]
    pub(super) fn without(mut self, wall: super::policy::Wall) -> Self {
        self.policy.without = Some(wall);
        self
    }

    /// A variable of their environment.
    #[must_use]
    pub(crate) fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Runs `argv` to its end; `said` hears each line of its two outputs. `{scratch}` in an argument or in the environment is the
    /// path of the folder for temporary files.
    ///
    /// Dropping the future ends the program with all processes that it has started.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if a wall is missing or the program cannot be started. How it ends is no error.
    pub(crate) async fn run(
        &self,
        argv: &[impl AsRef<str>],
        said: impl Fn(&str) + Send,
    ) -> Result<Ended, Error> {
        let began = Instant::now();
        let scratch = Scratch::new().map_err(failed)?;
        let policy = Policy {
            scratch: scratch.path().to_owned(),
            ..self.policy.clone()
        };
        let (leash, theirs) = UnixStream::pair().map_err(failed)?;
        let argv = argv.iter().map(|word| scratch.fill(word.as_ref()));
        let mut child = self
            .command(&policy, &scratch, argv)?
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(failed)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::internal("a program has no outputs"));
        };
        leash.set_nonblocking(true).map_err(failed)?;
        let leash = tokio::net::UnixStream::from_std(leash).map_err(failed)?;
        let (reports, mut leash) = leash.into_split();

        let output = policy.limits.output;
        let mut end = pin!(try_join3(
            capture(stdout, output, &said),
            capture(stderr, output, &said),
            heard(reports),
        ));
        let time = Duration::from_secs(policy.limits.seconds);
        let (ended, in_time) = match tokio::time::timeout(time, &mut end).await {
            Ok(ended) => (ended, true),
            Err(_) => {
                leash.shutdown().await.map_err(failed)?;
                let gone = tokio::time::timeout(BURIAL, &mut end).await;
                let gone = gone.map_err(|_| Error::internal("a program could not be ended"))?;
                (gone, false)
            }
        };
        let (stdout, stderr, reports) = ended?;
        child.wait().await.map_err(failed)?;
        let (verdict, missing) = judge(reports, in_time)?;
        Ok(Ended {
            verdict,
            stdout,
            stderr,
            took: began.elapsed(),
            missing,
            scratch,
        })
    }

    fn command(
        &self,
        policy: &Policy,
        scratch: &Scratch,
        argv: impl Iterator<Item = String>,
    ) -> Result<Command, Error> {
        let shown = serde_json::to_string(policy)
            .map_err(|error| Error::internal("a path is no UTF-8").with_source(error))?;
        let mut command = Command::new(own_program());
        command
            .args(["__jail", Role::Supervisor.as_str(), &shown, "--"])
            .args(argv)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("HOME", scratch.path())
            .env("TMPDIR", scratch.path())
            .envs(
                self.env
                    .iter()
                    .map(|(name, value)| (name, scratch.fill(value))),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What a terminal sends to the gateway is for the gateway alone.
            .process_group(0);
        Ok(command)
    }
}

/// Everything that was reported until nobody is there to report.
async fn heard(from: impl tokio::io::AsyncRead + Unpin) -> Result<Vec<Report>, Error> {
    let mut lines = BufReader::new(from).lines();
    let mut reports = Vec::new();
    while let Some(line) = lines.next_line().await.map_err(failed)? {
        reports.extend(serde_json::from_str(&line).ok());
    }
    Ok(reports)
}

fn judge(reports: Vec<Report>, in_time: bool) -> Result<(Verdict, Vec<String>), Error> {
    let mut missing = Vec::new();
    let mut verdict = None;
    for report in reports {
        let new = match report {
            Report::Missing(what) => {
                missing.push(what);
                continue;
            }
            Report::Refused(why) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "programs cannot be isolated on this computer: {why}; `sandbox = \"best_effort\"` in [tools] runs them all the same"
                    ),
                ));
            }
            Report::NotFound(what) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("the program {what}"),
                ));
            }
            Report::Exited(status) => Verdict::Exited(status),
            Report::Signalled(signal) => Verdict::Signalled(signal),
            Report::OverLimit(what) => Verdict::OverLimit(what),
        };
        verdict = Some(new);
    }
    match verdict {
        _ if !in_time => Ok((Verdict::TimedOut, missing)),
        Some(verdict) => Ok((verdict, missing)),
        None => Err(Error::internal("a program ended and nobody knows how")),
    }
}

/// This very program, also if its file was replaced meanwhile.
#[cfg(not(test))]
fn own_program() -> &'static Path {
    Path::new("/proc/self/exe")
}

/// In unit tests this program is the tests; the gateway lies beside them.
#[cfg(test)]
fn own_program() -> &'static Path {
    super::tests::gateway()
}

fn failed(error: io::Error) -> Error {
    Error::internal("a program could not be run").with_source(error)
}
