//! What test runners say of their tests. It was written by what was tested, and is believed as far as that goes.

mod cargo;
mod junit;
mod playwright;
mod vitest;

use std::path::Path;

use rmcp::schemars::JsonSchema;
use rungs::Error;
use serde::Serialize;

use super::Selection;
use crate::{
    config::Reporter,
    sandbox::{Ended, Place},
};

/// The file that a runner is told to write, in its folder for temporary files.
const JSON: &str = "report.json";
const JUNIT: &str = "junit.xml";

/// What has passed and what has not.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    pub(super) failures: Vec<Failure>,
    pub(super) files: Vec<TestFile>,
}

/// A test that has failed.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Failure {
    /// The test, with the groups that it is in.
    pub(super) name: String,
    /// Its file, relative to the runner's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// The line in it, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
    /// What was wrong.
    pub(super) message: String,
}

/// A file of tests.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct TestFile {
    /// Relative to the runner's folder.
    pub(super) path: String,
    /// How many of its tests have passed.
    pub(super) passed: u64,
    /// How many have failed.
    pub(super) failed: u64,
}

/// What one test came to.
enum Outcome {
    Passed,
    Skipped,
    Failed(Failure),
}

impl Tests {
    /// Counts a test, also for its file.
    fn count(&mut self, file: Option<&str>, outcome: Outcome) {
        let (passed, failed, skipped) = match outcome {
            Outcome::Passed => (1, 0, 0),
            Outcome::Skipped => (0, 0, 1),
            Outcome::Failed(_) => (0, 1, 0),
        };
        self.passed += passed;
        self.failed += failed;
        self.skipped += skipped;
        if let Outcome::Failed(mut failure) = outcome {
            failure.message = shortened(&failure.message);
            self.failures.push(failure);
        }
        let Some(path) = file else { return };
        let known = self.files.iter().position(|known| known.path == path);
        let at = known.unwrap_or_else(|| {
            let path = path.to_owned();
            self.files.push(TestFile {
                path,
                ..TestFile::default()
            });
            self.files.len() - 1
        });
        self.files[at].passed += passed;
        self.files[at].failed += failed;
    }
}

/// A message as people read it: without colours, and not longer than 4,000 characters.
fn shortened(message: &str) -> String {
    let mut plain = String::new();
    let mut characters = message.chars();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => drop(characters.by_ref().find(char::is_ascii_alphabetic)),
            c if plain.len() < 4000 => plain.push(c),
            _ => break,
        }
    }
    plain
}

/// A path as the runner's folder has it.
fn relative(path: &str, folder: &Path) -> String {
    let inside = Path::new(path).strip_prefix(folder);
    inside.map_or_else(
        |_| path.to_owned(),
        |inside| inside.to_string_lossy().into_owned(),
    )
}

/// What a runner is told beside its configured arguments.
pub(super) fn arguments(reporter: Reporter) -> Vec<String> {
    // Vitest is kept from writing beside its configuration, which it may only read.
    let words: &[&str] = match reporter {
        Reporter::Exit | Reporter::Cargo | Reporter::Junit => &[],
        Reporter::Vitest => &[
            "--reporter=json",
            "--reporter=verbose",
            "--outputFile.json={scratch}/report.json",
            "--configLoader=runner",
            "--cache=false",
        ],
        Reporter::Playwright => &["--reporter=line,json", "--output={scratch}/results"],
        Reporter::Pytest => &[
            "--junitxml={scratch}/junit.xml",
            "-v",
            "-p",
            "no:cacheprovider",
        ],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What it finds in its environment.
pub(super) fn env(reporter: Reporter) -> &'static [(&'static str, &'static str)] {
    match reporter {
        Reporter::Playwright => &[
            ("PLAYWRIGHT_JSON_OUTPUT_FILE", "{scratch}/report.json"),
            ("PLAYWRIGHT_FORCE_TTY", "0"),
        ],
        Reporter::Pytest => &[("PYTHONDONTWRITEBYTECODE", "1")],
        _ => &[],
    }
}

/// The arguments that choose tests. None of them can be taken for an option.
pub(super) fn selection(reporter: Reporter, chosen: &Selection) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    if let Some(name) = &chosen.name {
        if name.is_empty()
            || name.len() > 200
            || name.starts_with('-')
            || name.chars().any(char::is_control)
        {
            return Err(Error::invalid("`name` is no part of a test's name").param("name"));
        }
        let option = match reporter {
            Reporter::Vitest => "-t",
            Reporter::Playwright => "-g",
            Reporter::Pytest => "-k",
            Reporter::Cargo => "--",
            Reporter::Exit | Reporter::Junit => {
                return Err(Error::invalid("this runner cannot choose tests by name").param("name"));
            }
        };
        words.extend([option.to_owned(), name.clone()]);
    }
    if !chosen.files.is_empty()
        && matches!(reporter, Reporter::Exit | Reporter::Cargo | Reporter::Junit)
    {
        return Err(Error::invalid("this runner cannot choose files").param("files"));
    }
    for file in &chosen.files {
        let place = Place::parse(file)?.to_text();
        if place.starts_with('-') {
            return Err(Error::invalid("the name of a file begins with `-`").param("files"));
        }
        words.push(place);
    }
    Ok(words)
}

/// Whether a line of its output says that one more test is done.
pub(super) fn is_test(reporter: Reporter, line: &str) -> bool {
    let line = line.trim_start();
    match reporter {
        Reporter::Cargo => line.starts_with("test ") && line.contains(" ... "),
        Reporter::Vitest => line.starts_with(['✓', '×', '↓']),
        Reporter::Playwright => line.starts_with('[') && line.contains('/'),
        Reporter::Pytest => ["PASSED", "FAILED", "SKIPPED", "ERROR"]
            .iter()
            .any(|word| line.contains(word)),
        Reporter::Exit | Reporter::Junit => false,
    }
}

/// What a runner that has ended has left. Without a report there are no counts; its status says enough.
pub(super) fn read(reporter: Reporter, ended: &Ended, folder: &Path) -> Tests {
    let file = |name| ended.scratch.read(name).unwrap_or_default();
    match reporter {
        Reporter::Exit => Tests::default(),
        Reporter::Cargo => cargo::parsed(&ended.stdout.text),
        Reporter::Vitest => vitest::parsed(&file(JSON), folder),
        Reporter::Playwright => playwright::parsed(&file(JSON)),
        Reporter::Pytest | Reporter::Junit => junit::parsed(&file(JUNIT), folder),
    }
}
