//! `rungs serve`: run the gateway.

use std::{io::Write, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{
    output::Output,
    world::{self, LocalModels},
};
use crate::{
    auth::{Principal, TRUST},
    cli::ServeArgs,
    config::{Access, Config},
    gateway::Gateway,
    http, log,
    mcp::{
        self, Who,
        beside::{self, Door},
    },
    server,
    threads::Threads,
    tools,
};

/// Serves until a signal comes.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let models = LocalModels::default();
    let mut config = models.load(&args.config)?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    let _log = log::start(&config.log)?;
    world::say(&config);
    world::say_where(&config);
    let threads = threads()?;
    threads.block_on(async {
        let args = args.clone();
        let reloads = Reloads { args, models };
        serve(config, &threads, Some(reloads), |_, _, _| Ok(())).await
    })
}

/// Where a reload finds its configuration.
pub(super) struct Reloads {
    args: ServeArgs,
    models: LocalModels,
}

impl Reloads {
    fn load(&self) -> anyhow::Result<Config> {
        let mut config = self.models.load(&self.args.config)?;
        if let Some(listen) = self.args.listen {
            config.server.listen = listen;
        }
        Ok(config)
    }
}

pub(super) fn threads() -> anyhow::Result<Threads> {
    Threads::start().context("cannot start the threads")
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
    threads: &Threads,
    reloads: Option<Reloads>,
    ready: impl FnOnce(&Gateway, &str, &mut Output) -> std::io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let settings = config.server.clone();
    let metrics = http::metrics::Recorder::install()?;
    let gateway = Gateway::start(config).await?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    gateway.make_local_token()?;
    let surface = http::surface(&gateway, &metrics);

    let mut out = Output::default();
    writeln!(out, "listening on {url}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")?;
    say_if_open(&gateway);
    ready(&gateway, &url, &mut out).context("cannot write to standard output")?;

    let stop = async {
        tokio::select! {
            signal = stop_signal() => tracing::info!(signal, "signal"),
            () = metrics.keep_up() => {}
            () = reload_on_hangup(&gateway, reloads) => {}
            () = let_in_beside(&gateway) => {}
            () = gateway.close_with_the_first_key() => {}
        }
    };
    let (stopping, hurry) = (CancellationToken::new(), CancellationToken::new());
    let stop = async {
        stop.await;
        stopping.cancel();
    };
    let streams = async {
        stopping.cancelled().await;
        tokio::select! {
            () = gateway.state().end_streams(settings.drain) => {}
            () = hurry.cancelled() => gateway.state().end_streams(Duration::ZERO).await,
        }
    };
    let cores = threads.cores();
    let hurried = hurry.cancelled();
    let serving = Box::pin(server::serve(
        listener, surface, &settings, &cores, stop, hurried,
    ));
    tokio::select! {
        _ = async { tokio::join!(serving, streams) } => {}
        () = hear_again(&stopping, &hurry) => {}
    }
    gateway.state().close().await;
    Ok(ExitCode::SUCCESS)
}

/// Tells who waits for running answers that somebody does not want to.
async fn hear_again(stopping: &CancellationToken, hurry: &CancellationToken) {
    stopping.cancelled().await;
    let signal = stop_signal().await;
    tracing::warn!(signal, "signal, again: running answers are cut");
    hurry.cancel();
    std::future::pending().await
}

/// What a gateway says to those who think that a key is needed.
fn say_if_open(gateway: &Gateway) {
    let live = gateway.live();
    if live.is_open_for_want_of_keys() {
        tracing::info!(
            "open to programs on this computer, closed to web pages; make a key, and within {} seconds each request needs one",
            TRUST.as_secs()
        );
    } else if live.access() == Access::Loopback {
        tracing::info!(
            "open to programs on this computer, closed to web pages, as `auth = \"none\"` says"
        );
    }
}

/// Serves the MCP clients of processes that found the database owned.
async fn let_in_beside(gateway: &Gateway) {
    let toolbox = Arc::new(tools::all(gateway));
    let server = mcp::Server::new(gateway.clone(), toolbox, Who::Local(Principal::local()));
    server.announce();
    match beside::socket(&gateway.live().config).map(Door::open) {
        Some(Ok(door)) => door.serve(&server).await,
        Some(Err(error)) => {
            tracing::warn!(%error, "`rungs mcp` cannot use the database beside this process");
            std::future::pending().await
        }
        None => std::future::pending().await,
    }
}

pub(super) async fn stop_signal() -> &'static str {
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
async fn reload_on_hangup(gateway: &Gateway, reloads: Option<Reloads>) {
    let (Some(reloads), Ok(mut hangup)) = (reloads, signal(SignalKind::hangup())) else {
        return std::future::pending().await;
    };
    let reloads = Arc::new(reloads);
    while hangup.recv().await.is_some() {
        // Editors write in several steps.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let reading = Arc::clone(&reloads);
        // Files and local servers may take their time, and this thread accepts connections.
        let read = tokio::task::spawn_blocking(move || reading.load()).await;
        let result = match read.map_err(anyhow::Error::from).flatten() {
            Ok(config) => gateway.reload(config).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(kept) => {
                tracing::info!("reloaded");
                world::say(&gateway.live().config);
                if !kept.is_empty() {
                    tracing::warn!(
                        "what has changed in [{}] and is read at the start takes effect with the next one",
                        kept.join("], [")
                    );
                }
            }
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "not reloaded, the old configuration stays"
            ),
        }
    }
}
