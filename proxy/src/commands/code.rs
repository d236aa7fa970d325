//! `rungs code`: the code agent in the terminal. Whoever types this may write the project and run its tests.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};

use super::{output::Output, serve::runtime, world};
use crate::{
    agent::{self, Event, Job, Outcome, Report, Wanted},
    auth::Principal,
    cli::CodeArgs,
    config::{Config, Runner},
    gateway::Gateway,
    log,
    sandbox::OpenFolder,
    stores::is_in_use,
    tools::Bill,
};

/// Does the job, and prints what happens to standard error and what came of it to standard output.
pub(crate) fn run(args: &CodeArgs) -> anyhow::Result<ExitCode> {
    let mut config = world::load_with_models(&args.config)?;
    config.listen_nowhere();
    if config.log.file.is_none() && config.log.level == "info" {
        // The screen is for the job.
        config.log.level = "warn".into();
    }
    let _log = log::start(&config.log)?;
    let job = job(args, &config)?;
    runtime()?.block_on(async {
        let gateway = Gateway::start(config).await.map_err(beside_another)?;
        let principal = Principal::local();
        let screen = Screen {
            live: io::stderr().is_terminal(),
        };
        let watch = |event: &Event| screen.show(event);
        let report = tokio::select! {
            report = agent::run(&gateway, &principal, &job, Bill::default(), &watch) => Some(report),
            _ = tokio::signal::ctrl_c() => None,
        };
        gateway.state().close().await;
        let Some(report) = report else {
            bail!("interrupted; the project is as it was");
        };
        let report = report?;
        print(&report, args)?;
        Ok(match report.result.outcome {
            Outcome::Solved => ExitCode::SUCCESS,
            Outcome::Unsolved | Outcome::Stopped => ExitCode::FAILURE,
        })
    })
}

/// With a database of its own, as the store would advise, this job would have a budget of its own.
fn beside_another(error: anyhow::Error) -> anyhow::Error {
    match is_in_use(&error) {
        true => anyhow!(
            "another rungs process runs on this configuration, and budgets are its own to keep: ask that one for the job \
             (`POST /v1/code-agent`, or its MCP tool `code_agent`), or stop it first",
        ),
        false => error,
    }
}

fn job(args: &CodeArgs, config: &Config) -> anyhow::Result<Job> {
    let wanted = Wanted {
        task: args.task.clone(),
        files: args.files.clone(),
        model: Some(args.model.clone()),
        max_tier: args.max_tier.clone(),
        quality: Some(args.quality.clone()),
        budget: args.budget.clone(),
        dry_run: args.dry_run,
        ..Wanted::default()
    };
    let tests = match args.command.is_empty() {
        true => config.tools.tests.chosen(args.test.as_deref())?.cloned(),
        false => Some(Runner::typed(args.command.clone(), config.agent.deadline)),
    };
    let project = OpenFolder::named(&args.root)
        .with_context(|| format!("there is no folder {}", args.root.display()))?;
    Ok(wanted.to_job(project, tests, config)?)
}

fn print(report: &Report, args: &CodeArgs) -> anyhow::Result<()> {
    let mut out = Output::default();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
        return Ok(());
    }
    let (work, quality) = (&report.result, &report.quality);
    write!(out, "{}", work.diff)?;
    writeln!(out, "{}", work.response)?;
    if let (Some(before), Some(after)) = (&quality.tests_before, &quality.tests_after) {
        writeln!(out, "tests: {before} before, {after} after")?;
    }
    for wall in &quality.missing_walls {
        writeln!(out, "the tests ran without a wall: {wall}")?;
    }
    if !quality.tests_touched.is_empty() {
        writeln!(
            out,
            "tests were changed too: {}",
            quality.tests_touched.join(", ")
        )?;
    }
    if let Some(review) = &quality.review {
        writeln!(out, "review: {review}")?;
    }
    writeln!(
        out,
        "{}; {} tokens, ${}",
        report.routing.summary, report.performance.tokens.total, report.performance.cost_usd
    )?;
    Ok(())
}

/// Standard error: a line for what has happened, and on a terminal one that is overwritten for what happens now.
struct Screen {
    live: bool,
}

impl Screen {
    fn show(&self, event: &Event) {
        let mut err = io::stderr().lock();
        let passing = matches!(event, Event::Asking { .. });
        // Somebody who has closed standard error does not want to know.
        let _ = match (self.live, passing) {
            (true, true) => write!(err, "\r\x1b[2K{event} ...").and_then(|()| err.flush()),
            (true, false) => writeln!(err, "\r\x1b[2K{event}"),
            (false, true) => Ok(()),
            (false, false) => writeln!(err, "{event}"),
        };
    }
}
