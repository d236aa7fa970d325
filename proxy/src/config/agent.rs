use std::{collections::BTreeMap, time::Duration};

use rungs::{Error, catalog::Money};
use serde::Deserialize;

use super::{error::Faults, nearest::did_you_mean, seconds};

/// `[agent]`: what the code agent may use up, and how it runs a project's tests.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Agent {
    /// Questions to models in one job.
    pub(crate) steps: u32,
    /// The time of a job, tests included.
    #[serde(rename = "deadline_seconds", deserialize_with = "seconds::some")]
    pub(crate) deadline: Duration,
    /// The money of a job, beside the budgets of whoever asks.
    pub(crate) budget: Money,
    /// Answers of one tier to one part of the work, before the next tier is asked.
    pub(crate) tries: u32,
    /// Whether it keeps notes in `docs/` of the project, and reads them before it plans.
    pub(crate) notes: bool,
    /// Ignored folders that tests need, such as `node_modules`: the copy that tests run in has links to them.
    pub(crate) links: Vec<String>,
    /// How tests are run, by name.
    tests: BTreeMap<String, TestSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestSpec {
    argv: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(
        rename = "timeout_seconds",
        default = "five_minutes",
        deserialize_with = "seconds::some"
    )]
    timeout: Duration,
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

/// A command that runs tests: a program and its arguments, which no shell sees.
#[derive(Debug, Clone)]
pub(crate) struct TestCommand {
    /// What people call it.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// Variables that it gets of our environment, beside `PATH`.
    pub(crate) env: Vec<String>,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            steps: 24,
            deadline: Duration::from_secs(900),
            budget: Money::from_nanos(500_000_000),
            tries: 2,
            notes: false,
            links: Vec::new(),
            tests: BTreeMap::new(),
        }
    }
}

impl Agent {
    /// The tests of this name; without one, the only ones there are, or none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](rungs::ErrorKind::Invalid) where there are none of that name, or several to choose from.
    pub(crate) fn tests(&self, name: Option<&str>) -> Result<Option<TestCommand>, Error> {
        let wrong = |what: String| Err(Error::invalid(what).param("test"));
        let names = || self.tests.keys().map(String::as_str);
        let (name, spec) = match (name, self.tests.len()) {
            (Some(name), _) => match self.tests.get_key_value(name) {
                Some(found) => found,
                None => {
                    let hint = did_you_mean(name, names());
                    return wrong(format!(
                        "the configuration has no [agent.tests.{name}]{hint}"
                    ));
                }
            },
            (None, 0) => return Ok(None),
            (None, 1) => match self.tests.first_key_value() {
                Some(only) => only,
                None => return Ok(None),
            },
            (None, _) => {
                let names = names().collect::<Vec<_>>().join(", ");
                return wrong(format!("there are several tests: name one of {names}"));
            }
        };
        Ok(Some(TestCommand {
            name: name.clone(),
            argv: spec.argv.clone(),
            env: spec.env.clone(),
            timeout: spec.timeout,
        }))
    }

    /// Reports what no type can tell.
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        for (path, number) in [("agent.steps", self.steps), ("agent.tries", self.tries)] {
            if number == 0 {
                faults.at(path, "must be at least 1");
            }
        }
        if self.budget < Money::ZERO {
            faults.at("agent.budget", "cannot be negative");
        }
        for (name, spec) in &self.tests {
            if spec
                .argv
                .first()
                .is_none_or(|program| program.trim().is_empty())
            {
                faults.at(
                    &format!("agent.tests.{name}.argv"),
                    "is a program and its arguments, such as [\"cargo\", \"test\"]",
                );
            }
        }
        if let Some(link) = self.links.iter().find(|link| !is_plain(link)) {
            faults.at(
                "agent.links",
                format_args!("`{link}` is no folder of the project itself"),
            );
        }
    }
}

/// A name with neither a path nor a trick in it.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', '\0'])
        && name != ".git"
}

impl TestCommand {
    /// A command that was typed by whoever runs us.
    pub(crate) fn typed(argv: Vec<String>, timeout: Duration) -> Self {
        Self {
            name: argv.join(" "),
            argv,
            env: [
                "HOME",
                "CARGO_HOME",
                "RUSTUP_HOME",
                "RUSTUP_TOOLCHAIN",
                "JAVA_HOME",
                "GOPATH",
                "VIRTUAL_ENV",
            ]
            .map(String::from)
            .into(),
            timeout,
        }
    }
}
