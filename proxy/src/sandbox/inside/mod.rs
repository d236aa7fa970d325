//! What happens in the processes between the gateway and a jailed program.
//!
//! The gateway starts itself as `rungs __jail`. That process, the [`supervisor`], makes namespaces and starts itself once more in
//! them as [`init`], which builds the other walls and starts the program. So nothing has to happen between a fork and
//! an exec, where almost nothing may. The supervisor looks at what all processes together take, and kills them all when it is too much,
//! or when the gateway lets go of the leash: a socket that is its standard input.

mod disk;
mod group;
mod init;
mod mounts;
mod namespaces;
mod supervisor;
mod syscalls;
mod system;
mod usage;

use std::{
    io::{self, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use clap::{Args, ValueEnum};

use super::policy::{Policy, Report};

/// The arguments of `rungs __jail`.
#[derive(Debug, Args)]
pub(crate) struct JailArgs {
    role: Role,
    /// The policy, in JSON.
    policy: String,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// Which process this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    Supervisor,
    /// Init, in namespaces of its own.
    Isolated,
    /// Init, where there are none.
    Exposed,
}

impl Role {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Isolated => "isolated",
            Self::Exposed => "exposed",
        }
    }
}

/// Does what the role says, to the end of the program.
pub(super) fn run(args: JailArgs) -> ExitCode {
    let done = serde_json::from_str::<Policy>(&args.policy)
        .map_err(|error| Refusal(format!("the policy cannot be read: {error}")))
        .and_then(|policy| match args.role {
            Role::Supervisor => supervisor::run(&policy, &args),
            role => init::run(&policy, role, &args.argv),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal(why)) => {
            tell(&Report::Refused(why));
            ExitCode::FAILURE
        }
    }
}

/// Why a program is not run.
struct Refusal(String);

impl Refusal {
    /// One whose cause is an error of the system.
    fn of<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

/// Says something over the leash. Nobody may listen any more; then this process ends soon anyway.
fn tell(report: &Report) {
    let Ok(mut line) = serde_json::to_vec(report) else {
        return;
    };
    line.push(b'\n');
    if let Ok(leash) = io::stdin().as_fd().try_clone_to_owned() {
        let _ = std::fs::File::from(leash).write_all(&line);
    }
}
