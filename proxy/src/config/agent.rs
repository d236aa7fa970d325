use std::time::Duration;

use rungs::catalog::Money;
use serde::Deserialize;

use super::{error::Faults, seconds};

/// `[agent]`: what the code agent may use up.
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
        }
    }
}

impl Agent {
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
