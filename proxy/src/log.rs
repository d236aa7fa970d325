//! Where the log goes. Lines are handed to a writer of their own: no call waits for a full pipe or a slow disk.

use std::io;

use anyhow::Context;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{Log, LogFormat},
    tools::AUDIT,
};

/// Starts the log. The guard writes what is left when it is dropped.
pub(crate) fn start(config: &Log) -> anyhow::Result<WorkerGuard> {
    let mut filter = EnvFilter::try_new(&config.level)
        .with_context(|| format!("`log.level` is no filter: `{}`", config.level))?;
    let own = [
        // It tells of every message, with what clients say of themselves.
        ("rmcp", "warn"),
        // What was done to the world stays on record, however little else is told.
        (AUDIT, "info"),
    ];
    for (target, level) in own {
        if !config.level.contains(target) {
            let directive = format!("{target}={level}");
            filter = filter.add_directive(directive.parse().context("a directive")?);
        }
    }
    let (writer, guard) = writer(config)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(config.file.is_none() && io::IsTerminal::is_terminal(&io::stderr()));
    match config.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(guard)
}

fn writer(config: &Log) -> anyhow::Result<(NonBlocking, WorkerGuard)> {
    let Some(file) = &config.file else {
        return Ok(tracing_appender::non_blocking(io::stderr()));
    };
    let folder = file
        .parent()
        .filter(|f| !f.as_os_str().is_empty())
        .unwrap_or(".".as_ref());
    let name = file.file_name().context("`log.file` names no file")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(tracing_appender::non_blocking(
        tracing_appender::rolling::daily(folder, name),
    ))
}
