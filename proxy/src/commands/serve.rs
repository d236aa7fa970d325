//! `rungs serve`: run the gateway.

use std::{io::Write, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::world;
use crate::{
    cli::{ConfigArgs, ServeArgs},
    config::{Access, Config, Mode},
    gateway::Gateway,
    http, log, server,
};

/// Serves until a signal comes.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let mut config = world::load(&args.config)?;
    if config.mode == Mode::Mcp {
        bail!(
            "MODE=mcp asks for an MCP server, which this version does not have; unset MODE to run the gateway"
        );
    }
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    let _log = log::start(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    runtime()?.block_on(async {
        let reloads = Reloads {
            args: &args.config,
            listen: config.server.listen,
        };
        serve(config, Some(reloads), |_, _| {}).await
    })
}

/// Where a reload finds its configuration.
pub(super) struct Reloads<'a> {
    args: &'a ConfigArgs,
    listen: std::net::SocketAddr,
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Serves `config`; `ready` is told the gateway and its base URL once it listens.
pub(super) async fn serve(
    config: Config,
    reloads: Option<Reloads<'_>>,
    ready: impl FnOnce(&Gateway, &str),
) -> anyhow::Result<ExitCode> {
    let settings = config.server.clone();
    let metrics = http::metrics::Recorder::install()?;
    let gateway = Gateway::start(config).await?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = http::router(&gateway, &metrics);

    let mut out = std::io::stdout();
    writeln!(out, "listening on {url}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")?;
    if gateway.live().access == Access::Loopback {
        tracing::info!(
            "open to programs on this computer, closed to web pages; make a key to close it"
        );
    }
    ready(&gateway, &url);

    let stop = async {
        tokio::select! {
            signal = stop_signal() => tracing::info!(signal, "signal"),
            () = metrics.keep_up() => {}
            () = reload_on_hangup(&gateway, reloads) => {}
        }
    };
    server::serve(listener, router, &settings, stop).await;
    gateway.state().close().await;
    Ok(ExitCode::SUCCESS)
}

async fn stop_signal() -> &'static str {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "interrupt",
        _ = terminated => "terminate",
    }
}

/// Reloads on each SIGHUP. A configuration that is wrong changes nothing.
async fn reload_on_hangup(gateway: &Gateway, reloads: Option<Reloads<'_>>) {
    let (Some(reloads), Ok(mut hangup)) = (reloads, signal(SignalKind::hangup())) else {
        return std::future::pending().await;
    };
    while hangup.recv().await.is_some() {
        // Editors write in several steps.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let result = match tokio::task::block_in_place(|| world::load(reloads.args)) {
            Ok(mut config) => {
                config.server.listen = reloads.listen;
                gateway.reload(config).await
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => tracing::info!("reloaded"),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "not reloaded, the old configuration stays"
            ),
        }
    }
}
