//! `rungs mcp`: a client on standard input and output.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use rmcp::{ServiceExt, transport::io::stdio_pipes};
use secrecy::SecretString;
use tokio::{io::DuplexStream, net::UnixStream};

use super::{
    beside::{self, Door},
    bridge::{Client, Ended},
    connection::Who,
    server::Server,
};
use crate::{auth::Principal, config::Config, gateway::Gateway, stores::is_in_use, tools};

/// How long is waited for a database whose owner is just ending, or does not listen yet.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who serves the client.
enum Owner {
    /// This process, which owns the database.
    Here(Gateway),
    /// The process that owns it.
    There(UnixStream),
}

/// Serves the client until it closes its input, or `stop` resolves. Writes nothing but messages to standard output.
pub(crate) async fn run(
    config: &Config,
    key: Option<SecretString>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (stdin, stdout) = stdio_pipes();
    let mut client = Client::new(stdin, stdout);
    let socket = beside::socket(config);
    let mut stop = std::pin::pin!(stop);
    loop {
        let ended = match find(config, socket.as_deref(), key.as_ref()).await? {
            Owner::There(stream) => {
                tracing::info!("another process owns the database; it serves this client");
                tokio::select! {
                    ended = client.serve_by(stream) => ended?,
                    () = &mut stop => return Ok(()),
                }
            }
            Owner::Here(gateway) => {
                let local = || Who::Local(Principal::local());
                let who = key.clone().map_or_else(local, Who::Key);
                let server = Server::new(gateway.clone(), Arc::new(tools::all(&gateway)), who);
                let served = tokio::select! {
                    served = serve(&server, socket.as_deref(), &mut client) => served,
                    () = &mut stop => Ok(Ended::ByClient),
                };
                gateway.state().close().await;
                served?
            }
        };
        match ended {
            Ended::ByClient => return Ok(()),
            Ended::ByServer => client.interrupted().await?,
        }
    }
}

/// Serves the client from here, and other processes' clients beside it.
async fn serve(
    server: &Server,
    socket: Option<&Path>,
    client: &mut Client<impl tokio::io::AsyncRead + Unpin, impl tokio::io::AsyncWrite + Unpin>,
) -> anyhow::Result<Ended> {
    server.check().await.context("RUNGS_API_KEY")?;
    server.announce();
    let door = socket.and_then(|path| {
        let opened = Door::open(path.to_owned());
        let opened = opened.inspect_err(
            |error| tracing::warn!(%error, "no other process can use the database meanwhile"),
        );
        opened.ok()
    });
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let others = async {
        match &door {
            Some(door) => door.serve(server).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = client.serve_by(ours) => Ok(ended?),
        ended = answer(server, theirs) => ended,
        () = others => Ok(Ended::ByServer),
    }
}

async fn answer(server: &Server, stream: DuplexStream) -> anyhow::Result<Ended> {
    let running = super::served(server.anew()).serve(stream).await;
    if let Ok(running) = running {
        running.waiting().await?;
    }
    // The client's side of the stream tells how it ended.
    std::future::pending().await
}

async fn find(
    config: &Config,
    socket: Option<&Path>,
    key: Option<&SecretString>,
) -> anyhow::Result<Owner> {
    const PAUSE: Duration = Duration::from_millis(50);
    let began = tokio::time::Instant::now();
    loop {
        if let Some(socket) = socket
            && let Some(stream) = beside::connect(socket, key).await?
        {
            return Ok(Owner::There(stream));
        }
        match Gateway::start(config.clone()).await {
            Ok(gateway) => return Ok(Owner::Here(gateway)),
            Err(error) if is_in_use(&error) && began.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
