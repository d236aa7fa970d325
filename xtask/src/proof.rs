//! The proofs of docs/MONEY.md: tests of the suite that go on for as long as they are told to.

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{cargo, must_succeed};

/// A test, and what says how long it goes on.
pub(crate) struct Proof {
    package: &'static str,
    /// The test binary.
    target: &'static str,
    /// What is run of it.
    tests: &'static str,
    /// The environment variable that the test reads its length from.
    variable: &'static str,
    profile: Profile,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Debug,
    /// Where a time is measured.
    Release,
}

/// Budgets of one process and of several that share them, against what their provider really bills; the random ones of these so many times.
pub(crate) const BUDGET: Proof = Proof {
    package: "rungs",
    target: "shared_budgets",
    tests: "",
    variable: "RUNGS_BUDGET_RUNS",
    profile: Profile::Debug,
};

/// A gateway under load that is killed so often.
pub(crate) const CRASH: Proof = gateway("r18_a_crash", "RUNGS_CRASHES", Profile::Debug);

/// A gateway under load that is ended so often, in order.
pub(crate) const SIGTERM: Proof = gateway("ends_under_load", "RUNGS_SIGTERMS", Profile::Debug);

/// A start with so many rows in the journal.
pub(crate) const RESTART: Proof = gateway("rows_that_wait", "RUNGS_SPOOLED", Profile::Release);

/// Many writers on one SQLite file, for so many seconds.
pub(crate) const WRITERS: Proof = Proof {
    package: "rungs",
    target: "stores",
    tests: "sixty_four_writers",
    variable: "RUNGS_WRITER_SECONDS",
    profile: Profile::Debug,
};

const fn gateway(tests: &'static str, variable: &'static str, profile: Profile) -> Proof {
    Proof {
        package: "rungs-proxy",
        target: "gateway",
        tests,
        variable,
        profile,
    }
}

impl Proof {
    /// Runs it for as long as `amount` says.
    pub(crate) fn run(&self, amount: &str) -> Result<ExitCode> {
        let mut command = cargo(&["test", "--all-features"])?;
        command.args(["-p", self.package, "--test", self.target]);
        if self.profile == Profile::Release {
            command.arg("--release");
        }
        command.args(["--", "--nocapture", "--test-threads=1"]);
        if !self.tests.is_empty() {
            command.arg(self.tests);
        }
        must_succeed(command.env(self.variable, amount))?;
        Ok(ExitCode::SUCCESS)
    }
}
