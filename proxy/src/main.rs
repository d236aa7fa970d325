//! The rungs gateway: an OpenAI-compatible proxy built from nothing but rungs layers.

// They panic when nobody reads any more; commands write to their own `Output`.
#![cfg_attr(not(test), deny(clippy::print_stdout))]

mod accounts;
mod agent;
mod auth;
mod cli;
mod commands;
mod config;
mod epoch;
mod gateway;
mod hot;
mod http;
mod keys;
mod ledger;
mod log;
mod mcp;
mod memory;
mod provider;
mod retention;
mod sandbox;
mod server;
mod stack;
mod state;
mod stores;
mod threads;
mod tools;
mod webhook;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Places where a test stops this process; there are none in a build for use.
    #[cfg(feature = "failpoints")]
    let _places = fail::FailScenario::setup();
    let done = run(Cli::parse());
    sandbox::TempFolder::all_gone();
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("rungs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Some(command) = cli.command else {
        return commands::run_unasked();
    };
    match command {
        Command::Serve(args) => commands::serve::run(&args),
        Command::Mcp(args) => match &args.verb {
            None => commands::mcp::run(&args.config),
            Some(verb) => commands::upstreams::run(verb, &args.config),
        },
        Command::Demo(args) => commands::demo::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Code(args) => commands::code::run(&args),
        Command::Keys(args) => commands::keys::run(&args),
        Command::Ledger(args) => commands::ledger::run(&args),
        Command::Audit(args) => commands::audit::run(&args),
        Command::Leases(args) => commands::leases::run(&args),
        Command::Jail(args) => Ok(sandbox::enter(args)),
    }
}
