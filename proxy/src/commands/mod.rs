//! One file per command.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod code;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod ledger;
pub(crate) mod mcp;
mod output;
mod rows;
pub(crate) mod serve;
pub(crate) mod upstreams;
mod world;

use std::process::ExitCode;

use crate::{
    cli::{ConfigArgs, ServeArgs},
    config::Mode,
};

/// What a process does that was given no command: the environment may say so.
pub(crate) fn run_unasked() -> anyhow::Result<ExitCode> {
    match world::mode() {
        Mode::Api => serve::run(&ServeArgs::default()),
        Mode::Mcp => mcp::run(&ConfigArgs::default()),
    }
}
