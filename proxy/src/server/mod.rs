//! The accept loop: connections with limits of their own, and an end that lets answers finish.

mod activity;
mod unread;

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use http::Request;
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::BoxError;

use self::{
    activity::{Activity, Patience},
    unread::UNREAD,
};
use crate::{
    config::Server,
    http::Surface,
    threads::{Cores, Seat},
};

/// Serves `surface` until `stop` resolves, then lets what runs finish within the drain time, unless `hurry` resolves.
pub(crate) async fn serve(
    listener: TcpListener,
    surface: Surface,
    config: &Server,
    cores: &Cores,
    stop: impl Future<Output = ()>,
    hurry: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(config.max_connections));
    let mut connections = JoinSet::new();
    let ending = CancellationToken::new();
    let patience = Patience {
        first: config.header_timeout,
        between: config.idle_timeout,
    };
    let protocol = protocol(patience, cores.clone());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            // More connections than we may have wait in the listener's backlog.
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            (permit, accepted) = accepted => match (permit, accepted) {
                (Ok(permit), Ok((socket, _))) => {
                    while connections.try_join_next().is_some() {}
                    let Some(seat) = cores.seat() else { break };
                    let core = seat.runtime().clone();
                    let connection = connection(
                        socket,
                        (permit, seat),
                        surface.clone(),
                        protocol.clone(),
                        patience,
                        // One of its own: each poll looks at it, under a lock.
                        ending.child_token(),
                    );
                    connections.spawn_on(connection, &core);
                }
                (_, Err(error)) => {
                    // Out of file descriptors, most likely: a pause, not a spin.
                    tracing::warn!(error = %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                (Err(_), _) => break,
            },
            () = &mut stop => break,
        }
    }
    drop(listener);
    tracing::info!(
        seconds = config.drain.as_secs(),
        "stopping; running answers may finish, unless another signal comes"
    );
    ending.cancel();
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = tokio::time::sleep(config.drain) => {
            tracing::warn!("some answers did not finish in time and are cut");
        }
        () = hurry => {}
    }
    // Only when the last connection is gone is the last row on its way to the ledger.
    connections.shutdown().await;
}

fn protocol(patience: Patience, cores: Cores) -> auto::Builder<Cores> {
    let mut builder = auto::Builder::new(cores);
    builder
        .http1()
        // Without a timer hyper does not enforce its limits.
        .timer(TokioTimer::new())
        // From one answer on; the first request is waited for in `attend`.
        .header_read_timeout(patience.between)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(Duration::from_secs(20));
    builder
}

/// Serves a connection on the runtime that polls this first, whichever accepted it.
async fn connection(
    socket: TcpStream,
    places: (OwnedSemaphorePermit, Seat),
    surface: Surface,
    protocol: auto::Builder<Cores>,
    patience: Patience,
    ending: CancellationToken,
) {
    let socket = socket.into_std().and_then(TcpStream::from_std);
    let socket = match socket {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "a connection is lost");
            return;
        }
    };
    // A chunk of a stream goes out when it is there; some peers wait 40 ms for a full packet otherwise.
    let _ = socket.set_nodelay(true);
    // While a client reads nothing at all, only the system sees it.
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&socket, UNREAD.as_millis() as u32);
    attend(socket, surface, &protocol, patience, &ending).await;
    drop(places);
}

/// Serves a connection until it ends, nothing has been under way in it for too long, or all are `ending`.
async fn attend<S>(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    protocol: &auto::Builder<Cores>,
    mut patience: Patience,
    ending: &CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response, Future: Send + 'static> + 'static,
    S::Error: Into<BoxError>,
{
    let activity = Activity::default();
    let connection = protocol.serve_connection(TokioIo::new(socket), activity.noting(service));
    let mut connection = std::pin::pin!(connection.into_owned());
    let mut is_leaving = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = ending.cancelled(), if !is_leaving => {}
            // What it was sent before may still be on its way.
            () = activity.idle(patience) => if is_leaving || !activity.has_asked() {
                tracing::debug!("a connection has nothing under way");
                return;
            },
        }
        is_leaving = true;
        patience.between = UNREAD;
        connection.as_mut().graceful_shutdown();
    }
}

#[cfg(test)]
mod tests;
