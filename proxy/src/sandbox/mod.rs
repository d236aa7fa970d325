//! Where tools meet the computer: folders that cannot be left, and programs that cannot do more than they are allowed.
//!
//! [`Roots`] are folders opened once; paths of models and clients are relative to them. A [`Jail`] runs a program whose arguments
//! come from the configuration. Both stand behind two walls of which each holds alone: for files `cap-std`, and Landlock on the
//! one thread that touches them; for programs namespaces, and Landlock with seccomp. What a kernel does not offer is
//! named: files go on with one wall, programs are refused unless the configuration accepts it.

mod fenced;
mod git;
mod inside;
mod jail;
mod landlock;
mod output;
mod policy;
mod roots;
mod scratch;
mod temp;

pub(crate) use fenced::FencedThread;
pub(crate) use git::Git;
pub(crate) use inside::JailArgs;
pub(crate) use jail::{Ended, Jail, Verdict};
pub(crate) use policy::{Limits, Network, Walls};
pub(crate) use roots::{Entry, OpenFolder, Place, Protected, Reach, Roots, Text, not_written};
pub(crate) use temp::TempFolder;

/// What `__jail`, the hidden command, does: it builds the walls and runs the program inside.
pub(crate) fn enter(args: JailArgs) -> std::process::ExitCode {
    inside::run(args)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::Folder;
