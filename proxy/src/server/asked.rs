use std::{
    convert::identity,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::response::Response;
use futures_util::{TryFutureExt, future::MapOk};
use http::{Request, Version};
use hyper::service::Service;

use super::unread::watched;
use crate::http::Surface;

/// Whether a connection has asked for something.
#[derive(Default)]
pub(super) struct Asked(Arc<AtomicBool>);

impl Asked {
    /// Serves `surface` to the connection, and notes it.
    pub(super) fn noting(&self, surface: Surface) -> Noting {
        Noting {
            surface,
            asked: Arc::clone(&self.0),
        }
    }

    /// Ends when nothing was asked in the time for a head. What tells the version of HTTP by the first bytes waits for them for ever.
    pub(super) async fn nothing(&self, patience: Duration) {
        tokio::time::sleep(patience).await;
        if self.0.load(Ordering::Relaxed) {
            pending().await
        }
    }
}

/// What a connection is served.
pub(super) struct Noting {
    surface: Surface,
    asked: Arc<AtomicBool>,
}

impl<B> Service<Request<B>> for Noting
where
    Surface: Service<Request<B>, Response = Response>,
{
    type Response = Response;
    type Error = <Surface as Service<Request<B>>>::Error;
    type Future = MapOk<<Surface as Service<Request<B>>>::Future, fn(Response) -> Response>;

    fn call(&self, request: Request<B>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let finish = match request.version() {
            Version::HTTP_2 => watched,
            _ => identity,
        };
        self.surface.call(request).map_ok(finish)
    }
}
