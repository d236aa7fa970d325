//! The comparison: the same load through the bare proxy, the gateway, and the gateway without its money, in turns.
//!
//! Processor time is read from outside, so that what a program does after its answer (the
//! ledger's writes) is charged to it as well.

mod process;
mod report;
mod setup;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use tokio::time::sleep;

use crate::load::{self, Outcome};
use process::Process;
use report::{Footprint, Lone, Report, Round, Series};
use setup::Setup;

/// Long enough for work that follows an answer, such as writing the ledger.
const SETTLE: Duration = Duration::from_millis(500);

/// Which gateway to measure and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway's program.
    #[arg(long)]
    rungs: PathBuf,
    /// Rounds of each kind through each proxy.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Whole answers in a round.
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// Streams of 100 chunks in a round.
    #[arg(long, default_value_t = 1000)]
    streams: u64,
    /// Streams with a pause between chunks in a round, one after another.
    #[arg(long, default_value_t = 50)]
    paced: u64,
    /// Whole answers in a round, one after another.
    #[arg(long, default_value_t = 500)]
    lone: u64,
    /// Requests at a time.
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// Whole answers at a time where there are many.
    #[arg(long, default_value_t = 64)]
    crowd: usize,
    /// Whole answers a second where all get as many.
    #[arg(long, default_value_t = 8000)]
    rate: u32,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let setup = Setup::start(&options.rungs).await?;
    let idle = setup.rungs.resident_kib()?;
    let bare_idle = setup.bare.resident_kib()?;

    let whole = series(&setup, &options, Kind::Whole).await?;
    let crowd = series(&setup, &options, Kind::Crowd).await?;
    let steady = series(&setup, &options, Kind::Steady).await?;
    let stream = series(&setup, &options, Kind::Stream).await?;
    let lone = one_by_one(&setup, &options, Kind::Whole).await?;
    let paced = one_by_one(&setup, &options, Kind::Stream).await?;

    let report = Report {
        whole,
        crowd: (options.crowd, crowd),
        steady: (options.rate, steady),
        stream,
        lone,
        paced,
        bare: Footprint {
            ready: setup.bare.ready_after(),
            idle_kib: bare_idle,
            loaded_kib: setup.bare.resident_kib()?,
        },
        rungs: Footprint {
            ready: setup.rungs.ready_after(),
            idle_kib: idle,
            loaded_kib: setup.rungs.resident_kib()?,
        },
    };
    print!("{}", report.tables());
    println!("\n{}", report.json());
    setup.remove().await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Crowd,
    Steady,
    Stream,
}

/// Alternate rounds, after one short uncounted round each.
async fn series(setup: &Setup, options: &Options, kind: Kind) -> Result<Series> {
    let (requests, concurrency) = match kind {
        Kind::Whole => (options.requests, options.concurrency),
        Kind::Crowd | Kind::Steady => (options.requests, options.crowd),
        Kind::Stream => (options.streams, options.concurrency),
    };
    let load = |process: &Process, requests| load::Options {
        requests,
        concurrency,
        rate: (kind == Kind::Steady).then_some(options.rate),
        stream: kind == Kind::Stream,
        ..setup.load(process)
    };
    let mut processes = vec![&setup.bare, &setup.rungs];
    // Money is counted by the answer, not by the chunk.
    if kind != Kind::Stream {
        processes.push(&setup.waived);
    }
    for process in &processes {
        checked(process, load(process, requests.div_ceil(10))).await?;
    }
    let mut series = Series::default();
    for _ in 0..options.rounds {
        let rounds = [&mut series.bare, &mut series.rungs, &mut series.waived];
        for (process, rounds) in processes.iter().zip(rounds) {
            sleep(SETTLE).await;
            let before = process.processor_time()?;
            let outcome = checked(process, load(process, requests)).await?;
            sleep(SETTLE).await;
            let cpu = process.processor_time()? - before;
            rounds.push(Round { cpu, outcome });
        }
    }
    Ok(series)
}

/// Answers one after another, whole or in chunks with a pause between: straight from the upstream and through each proxy.
async fn one_by_one(setup: &Setup, options: &Options, kind: Kind) -> Result<Lone> {
    let stream = kind == Kind::Stream;
    let (requests, script) = match stream {
        true => (options.paced, "chunks=4 gap_us=5000"),
        false => (options.lone, ""),
    };
    let mut lone = Lone::default();
    for _ in 0..options.rounds {
        for (process, rounds) in [
            (&setup.upstream, &mut lone.direct),
            (&setup.bare, &mut lone.bare),
            (&setup.rungs, &mut lone.rungs),
        ] {
            let load = load::Options {
                requests,
                concurrency: 1,
                stream,
                script: script.to_owned(),
                ..setup.load(process)
            };
            rounds.push(checked(process, load).await?);
        }
    }
    Ok(lone)
}

/// A run in which every request was answered; numbers of any other mean nothing.
async fn checked(process: &Process, load: load::Options) -> Result<Outcome> {
    let outcome = load::measure(&load).await?;
    ensure!(
        outcome.errors == 0,
        "{} of {} requests through {} failed, the first with: {}",
        outcome.errors,
        outcome.requests,
        process.name(),
        outcome.first_error.as_deref().unwrap_or("no message"),
    );
    Ok(outcome)
}
