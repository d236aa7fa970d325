//! `rungs-load`: an upstream, a bare reverse proxy and a load generator, and a comparison of the
//! gateway with the bare proxy built from them.

mod bare;
mod compare;
mod events;
mod load;
mod serve;
mod upstream;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "rungs-load", about, version)]
enum Command {
    /// Serve scripted chat completions.
    Upstream(upstream::Options),
    /// Forward every request to one upstream, and nothing else.
    Bare(bare::Options),
    /// Put load on a chat completions endpoint; prints JSON.
    Load(load::Options),
    /// Compare a gateway's cost with the bare proxy's; prints tables and one line of JSON.
    Compare(compare::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Upstream(options) => upstream::run(options).await,
        Command::Bare(options) => bare::run(options).await,
        Command::Load(options) => load::run(options).await,
        Command::Compare(options) => compare::run(options).await,
    };
    if let Err(error) = outcome {
        eprintln!("rungs-load: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
