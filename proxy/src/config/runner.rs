use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::sandbox::{Limits, Network, Place};

use super::error::Faults;

/// `[tools.tests.<name>]`: how tests are run. Clients choose a name, never a word of the command.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runner {
    /// The program and its arguments; no shell reads them. `{scratch}` is a folder for temporary files.
    pub(crate) argv: Vec<String>,
    /// How it says what has passed.
    #[serde(default)]
    pub(crate) reporter: Reporter,
    /// The root, by its name, in which it runs; the first if there is none.
    pub(crate) root: Option<String>,
    /// The folder in that root.
    #[serde(default)]
    pub(crate) folder: String,
    /// What of a network there is.
    #[serde(default)]
    pub(crate) network: Network,
    /// Folders and files outside of the root that it may read, and run programs from.
    #[serde(default)]
    pub(crate) readable: Vec<PathBuf>,
    /// Folders that it may change, relative to the root, such as `target`.
    #[serde(default)]
    pub(crate) writable: Vec<String>,
    /// Its environment, beside the few names that each program has.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// How much it may take.
    #[serde(default)]
    pub(crate) limits: Limits,
}

/// How a test runner says what has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reporter {
    /// By its status alone.
    #[default]
    Exit,
    /// Vitest's JSON; it is told to write it.
    Vitest,
    /// Playwright's JSON; it is told to write it.
    Playwright,
    /// pytest's JUnit file; it is told to write it.
    Pytest,
    /// The lines of Rust's own test programs.
    Cargo,
    /// A JUnit file that the arguments have it write to `{scratch}/junit.xml`.
    Junit,
}

impl Runner {
    /// What is known without configuration.
    fn builtin(argv: &[&str], reporter: Reporter, network: Network) -> Self {
        Self {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            reporter,
            root: None,
            folder: String::new(),
            network,
            readable: Vec::new(),
            writable: Vec::new(),
            env: BTreeMap::new(),
            limits: Limits::default(),
        }
    }

    /// The runners of `own` with those that are built in.
    pub(super) fn all(
        own: BTreeMap<String, Self>,
        faults: &mut Faults<'_>,
    ) -> BTreeMap<String, Self> {
        let vitest = ["node_modules/.bin/vitest", "run"];
        let playwright = ["node_modules/.bin/playwright", "test"];
        let playwright = Self {
            // What Debian's Chromium reads to start.
            readable: vec!["/etc/chromium".into(), "/etc/chromium.d".into()],
            ..Self::builtin(&playwright, Reporter::Playwright, Network::Loopback)
        };
        let mut all = BTreeMap::from([
            (
                "vitest".into(),
                Self::builtin(&vitest, Reporter::Vitest, Network::Off),
            ),
            ("playwright".into(), playwright),
        ]);
        for (name, runner) in own {
            runner.check(&format!("tools.tests.{name}"), faults);
            all.insert(name, runner);
        }
        all
    }

    fn check(&self, path: &str, faults: &mut Faults<'_>) {
        if self.argv.first().is_none_or(String::is_empty) {
            faults.at(&format!("{path}.argv"), "has no program");
        }
        if let Err(error) = Place::parse(&self.folder) {
            faults.at(&format!("{path}.folder"), error.message().to_owned());
        }
        for folder in &self.writable {
            match Place::parse(folder) {
                Err(error) => faults.at(&format!("{path}.writable"), error.message().to_owned()),
                // With it `.git` would be writable too, and what is in there is run by others.
                Ok(place) if place == Place::root() => {
                    faults.at(
                        &format!("{path}.writable"),
                        "is the whole root; name folders in it",
                    );
                }
                Ok(_) => {}
            }
        }
        let Limits {
            seconds,
            memory,
            processes,
            written,
            output,
        } = self.limits;
        for (name, is_zero) in [
            ("seconds", seconds == 0),
            ("memory", memory == 0),
            ("processes", processes == 0),
            ("written", written == 0),
            ("output", output == 0),
        ] {
            if is_zero {
                faults.at(&format!("{path}.limits.{name}"), "must be at least 1");
            }
        }
    }
}
