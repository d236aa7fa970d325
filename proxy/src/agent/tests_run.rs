use std::path::{Path, PathBuf};

use rungs::{Error, ErrorKind};
use tokio::time::{Instant, timeout_at};

use crate::{
    config::Runner,
    sandbox::{Verdict, Walls},
    tools::{end_of, jail},
};

/// How much of what tests print is kept: the end of it, in bytes.
const KEPT: usize = 16 << 10;

/// How a run of the tests ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestRun {
    /// Whether they passed.
    pub(super) passed: bool,
    /// The same in words: `passed`, `exit status 1`, `no end after 60 s`.
    pub(super) ending: String,
    /// The end of what they printed.
    pub(super) output: String,
    /// Walls that this kernel does not offer, where the configuration goes on without.
    pub(super) missing_walls: Vec<String>,
}

/// Runs the tests of a project in a jail, at most until `deadline`: they may change the copy at `copy`, and read what is linked into it. They find nothing of what
/// is `hidden`.
///
/// # Errors
/// [`ErrorKind::Unavailable`] if they cannot be started, or a wall is missing.
pub(super) async fn run(
    tests: &Runner,
    walls: Walls,
    copy: &Path,
    links: &[PathBuf],
    hidden: Vec<PathBuf>,
    deadline: Instant,
) -> Result<TestRun, Error> {
    let jail = jail(tests, copy, walls)?.writable(copy).hiding(hidden);
    let jail = links.iter().fold(jail, |jail, link| jail.readable(link));
    let Ok(ended) = timeout_at(deadline, jail.run(&tests.argv, |_| {})).await else {
        return Ok(TestRun {
            passed: false,
            ending: "no end before that of the job".to_owned(),
            output: String::new(),
            missing_walls: Vec::new(),
        });
    };
    let ended = ended.map_err(|error| match error.kind() {
        ErrorKind::Unavailable => {
            let what = format!("the tests `{}`: {}", tests.name, error.message());
            Error::new(ErrorKind::Unavailable, what)
        }
        _ => error,
    })?;
    let ending = match &ended.verdict {
        Verdict::Exited(0) => "passed".to_owned(),
        Verdict::Exited(status) => format!("exit status {status}"),
        Verdict::Signalled(signal) => format!("ended by signal {signal}"),
        Verdict::TimedOut => format!("no end after {} s", tests.limits.seconds),
        Verdict::OverLimit(what) => format!("ended: {what}"),
    };
    let printed = [ended.stderr.text, ended.stdout.text].join("\n");
    Ok(TestRun {
        passed: ended.verdict.is_success(),
        ending,
        output: end_of(printed.trim(), KEPT).to_owned(),
        missing_walls: ended.missing,
    })
}
