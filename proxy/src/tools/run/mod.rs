//! Tools that run tests, in a [`Jail`]. What is run stands in the configuration; a client chooses which, and what of it.

mod reports;
mod run_playwright;
mod run_tests;
mod run_vitest;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rmcp::schemars::{self, JsonSchema};
use rungs::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::{Caller, Typed, Workshop};
use crate::{
    config::Runner,
    sandbox::{Ended, Jail, Place, Verdict, Walls},
};
use reports::{Failure, TestFile, Tests};

/// How much of what a runner says is given back, in bytes.
const SAID: usize = 8 << 10;

/// All of them, in the order in which they are listed.
pub(super) fn all(workshop: &Arc<Workshop>) -> Vec<Typed> {
    vec![
        run_vitest::tool(workshop),
        run_playwright::tool(workshop),
        run_tests::tool(workshop),
    ]
}

/// Which of the tests are run; all if nothing is said.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Selection {
    /// Files of tests, relative to the runner's folder.
    #[serde(default)]
    files: Vec<String>,
    /// A part of the names of tests.
    name: Option<String>,
}

/// How it went.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Whether everything has passed.
    success: bool,
    /// Why the runner ended: `exited`, `signalled`, `timed_out` or `over_limit`.
    ended: &'static str,
    /// Of what it took too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_limit: Option<String>,
    /// Its status, if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i32>,
    /// Tests that have passed.
    passed: u64,
    /// Tests that have failed.
    failed: u64,
    /// Tests that were left out.
    skipped: u64,
    /// What has failed, and why: at most 50.
    failures: Vec<Failure>,
    /// The files of tests: at most 500.
    files: Vec<TestFile>,
    /// How long it took.
    seconds: f64,
    /// The end of what the runner has said, where not everything has passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    said: String,
    /// Walls that this kernel does not offer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_walls: Vec<String>,
}

/// Runs the tests that are configured as `name`.
async fn run(
    workshop: &Workshop,
    caller: &Caller,
    name: &str,
    chosen: Selection,
) -> Result<Output, Error> {
    let tools = workshop.tools();
    let runner = tools.tests.get(name).map_err(|e| e.param("runner"))?;
    let roots = workshop.roots(&caller.principal)?;
    let root = roots.path(runner.root.as_deref())?;
    let folder = folder(runner, root)?;
    let mut argv = runner.argv.clone();
    argv.extend(reports::arguments(runner.reporter));
    argv.extend(reports::selection(runner.reporter, &chosen)?);
    let hidden = workshop.protected().existing();
    let mut jail = jail(runner, root, tools.sandbox)?.hiding(hidden);
    for (name, value) in reports::env(runner.reporter) {
        jail = jail.env(*name, *value);
    }
    for path in writable(runner, root)? {
        jail = jail.writable(path);
    }
    let done = Mutex::new(0_u64);
    let said = |line: &str| {
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += u64::from(reports::is_test(runner.reporter, line));
        let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
        if !line.is_empty() {
            caller.progress.say(*done as f64, None, &line);
        }
    };
    let ended = jail.run(&argv, said).await?;
    let tests = reports::read(runner.reporter, &ended, &folder);
    Ok(output(ended, tests))
}

/// Where in a root, or in a copy of one, a runner runs.
fn folder(runner: &Runner, root: &Path) -> Result<PathBuf, Error> {
    let folder = root.join(Place::parse(&runner.folder)?.as_path());
    if !folder.is_dir() {
        let message = format!("the folder of [tools.tests.{}] is not there", runner.name);
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    // Without the `.` of a root's own path.
    Ok(folder.components().collect())
}

/// The jail of a runner that reads `root` and runs in its folder there: it may do what the configuration says, and no more.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no such folder.
pub(crate) fn jail(runner: &Runner, root: &Path, walls: Walls) -> Result<Jail, Error> {
    let mut jail = Jail::new(folder(runner, root)?)
        .readable(root)
        .network(runner.network)
        .limits(runner.limits)
        .walls(walls)
        .env("CI", "1")
        .env("NO_COLOR", "1");
    for (name, value) in &runner.env {
        jail = jail.env(name, value);
    }
    for path in &runner.readable {
        jail = jail.readable(path);
    }
    Ok(jail)
}

/// The folders of a root that a runner may change.
fn writable(runner: &Runner, root: &Path) -> Result<Vec<PathBuf>, Error> {
    let real = |path: &String| {
        let path = root.join(Place::parse(path)?.as_path());
        // What is not there cannot be opened to it, and a link would open what it leads to.
        let real = path.canonicalize().ok().filter(|real| *real == path);
        real.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "`{}`, which tests may change, is no folder of the root",
                    path.display()
                ),
            )
        })
    };
    runner.writable.iter().map(real).collect()
}

fn output(ended: Ended, tests: Tests) -> Output {
    let (word, status, over_limit) = match ended.verdict {
        Verdict::Exited(status) => ("exited", Some(status), None),
        Verdict::Signalled(_) => ("signalled", None, None),
        Verdict::TimedOut => ("timed_out", None, None),
        Verdict::OverLimit(what) => ("over_limit", None, Some(what)),
    };
    let success = status == Some(0) && tests.failed == 0;
    let said = match success {
        true => String::new(),
        false => end_of(&format!("{}{}", ended.stdout.text, ended.stderr.text), SAID).to_owned(),
    };
    Output {
        success,
        ended: word,
        over_limit,
        status,
        passed: tests.passed,
        failed: tests.failed,
        skipped: tests.skipped,
        failures: tests.failures.into_iter().take(50).collect(),
        files: tests.files.into_iter().take(500).collect(),
        seconds: ended.took.as_secs_f64(),
        said,
        missing_walls: ended.missing,
    }
}

/// The last `most` bytes of a text, or fewer: from the beginning of a character.
pub(crate) fn end_of(text: &str, most: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(most))..]
}
