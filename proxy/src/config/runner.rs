use std::{collections::BTreeMap, env, ffi::OsString, path::PathBuf, time::Duration};

use rungs::{Error, ErrorKind};
use serde::Deserialize;

use crate::sandbox::{Limits, Network, Place};

use super::{error::Faults, nearest::did_you_mean};

/// `[tools.tests.<name>]`: how tests are run, by `run_tests` and by the code agent. Clients choose a name, never a word of the command.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runner {
    /// What it is called.
    #[serde(skip)]
    pub(crate) name: String,
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

/// Every runner: those of the configuration, and the two that are known without it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Runners {
    own: BTreeMap<String, Runner>,
    builtin: [Runner; 2],
}

impl Runners {
    /// Those of the configuration are `own`.
    pub(super) fn new(mut own: BTreeMap<String, Runner>, faults: &mut Faults<'_>) -> Self {
        for (name, runner) in &mut own {
            runner.check(&format!("tools.tests.{name}"), faults);
            runner.name.clone_from(name);
        }
        let vitest = ["node_modules/.bin/vitest", "run"];
        let playwright = ["node_modules/.bin/playwright", "test"];
        let builtin = [
            Runner {
                reporter: Reporter::Vitest,
                ..Runner::new("vitest", vitest.map(String::from).into())
            },
            Runner {
                reporter: Reporter::Playwright,
                network: Network::Loopback,
                // What Debian's Chromium reads to start.
                readable: vec!["/etc/chromium".into(), "/etc/chromium.d".into()],
                ..Runner::new("playwright", playwright.map(String::from).into())
            },
        ];
        Self { own, builtin }
    }

    /// The runner of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub(crate) fn get(&self, name: &str) -> Result<&Runner, Error> {
        let builtin = || self.builtin.iter().find(|runner| runner.name == name);
        self.own.get(name).or_else(builtin).ok_or_else(|| {
            let builtin = self.builtin.iter().map(|runner| &runner.name);
            let names = self.own.keys().chain(builtin).map(String::as_str);
            let hint = did_you_mean(name, names);
            let message = format!("there is no [tools.tests.{name}] in the configuration{hint}");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// The runner of this name; without one, the only one that the configuration has, or none.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none of that name, [`ErrorKind::Invalid`] if there are several to choose from.
    pub(crate) fn chosen(&self, name: Option<&str>) -> Result<Option<&Runner>, Error> {
        match name {
            Some(name) => self.get(name).map(Some),
            None if self.own.len() < 2 => Ok(self.own.values().next()),
            None => {
                let names: Vec<&str> = self.own.keys().map(String::as_str).collect();
                let names = names.join(", ");
                Err(Error::invalid(format!(
                    "there are several tests: name one of {names}"
                )))
            }
        }
    }
}

/// What a toolchain is found by, and which folders in it programs need; in the home of whoever runs us if the variable is not set.
const TOOLCHAINS: [(&str, Option<&str>, &[&str]); 7] = [
    // Not all of it: there are tokens beside them.
    (
        "CARGO_HOME",
        Some(".cargo"),
        &["bin", "registry", "git", "config.toml"],
    ),
    ("RUSTUP_HOME", Some(".rustup"), &[""]),
    ("GOPATH", Some("go"), &["bin", "pkg"]),
    ("PYENV_ROOT", Some(".pyenv"), &[""]),
    ("NVM_DIR", Some(".nvm"), &[""]),
    ("JAVA_HOME", None, &[""]),
    ("VIRTUAL_ENV", None, &[""]),
];

impl Runner {
    fn new(name: &str, argv: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            argv,
            reporter: Reporter::default(),
            root: None,
            folder: String::new(),
            network: Network::default(),
            readable: Vec::new(),
            writable: Vec::new(),
            env: BTreeMap::new(),
            limits: Limits::default(),
        }
    }

    /// A command that was typed by whoever runs us, for at most `time`: it finds the programs and toolchains that they find.
    pub(crate) fn typed(argv: Vec<String>, time: Duration) -> Self {
        let mut runner = Self::new(&argv.join(" "), argv);
        runner.limits.seconds = time.as_secs().max(1);
        let mut set = |name: &str, value: OsString| {
            if let Ok(value) = value.into_string() {
                runner.env.insert(name.to_owned(), value);
            }
        };
        let mut readable = Vec::new();
        if let Some(path) = env::var_os("PATH") {
            readable.extend(env::split_paths(&path).filter(|folder| folder.is_absolute()));
            set("PATH", path);
        }
        if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
            set("RUSTUP_TOOLCHAIN", toolchain);
        }
        let home = env::home_dir().filter(|home| home.is_absolute());
        for (name, usual, parts) in TOOLCHAINS {
            let usual = usual.and_then(|usual| Some(home.as_ref()?.join(usual)));
            let found = env::var_os(name).map(PathBuf::from).or(usual);
            let Some(folder) = found.filter(|folder| folder.is_absolute() && folder.is_dir())
            else {
                continue;
            };
            readable.extend(parts.iter().map(|part| folder.join(part)));
            set(name, folder.into());
        }
        runner.readable = readable;
        runner
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
