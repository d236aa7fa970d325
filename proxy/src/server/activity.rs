//! What a connection has under way, and for how long that has been nothing.

use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::response::Response;
use http::{Request, Version};
use hyper::service::Service;
use pin_project::pin_project;

use super::unread::watched;

/// How long a connection may have nothing under way.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Before its first request.
    pub(super) first: Duration,
    /// Between requests.
    pub(super) between: Duration,
}

/// What a connection does. Clones are of the same one.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
    /// It speaks HTTP/1, where hyper ends what waits too long for a head, the first or the next.
    http1: AtomicBool,
}

/// A request of HTTP/2, until its answer is there in full or given up.
pub(super) struct UnderWay(Arc<Counts>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Activity {
    /// Serves `service` to the connection, and notes it.
    pub(super) fn noting<S>(&self, service: S) -> Noting<S> {
        Noting {
            service,
            activity: self.clone(),
        }
    }

    pub(super) fn has_asked(&self) -> bool {
        self.0.http1.load(Ordering::Relaxed) || self.counts().0 > 0
    }

    /// Ends when nothing was under way for too long; in HTTP/1 only before the first request. What tells the version of HTTP by the
    /// first bytes waits for them for ever.
    pub(super) async fn idle(&self, patience: Patience) {
        loop {
            let before = self.counts();
            let patience = match before {
                (0, _) => patience.first,
                _ => patience.between,
            };
            tokio::time::sleep(patience).await;
            if self.0.http1.load(Ordering::Relaxed) {
                pending().await
            }
            let (begun, ended) = before;
            if begun == ended && self.counts() == before {
                return;
            }
        }
    }

    fn counts(&self) -> (u64, u64) {
        let Counts { begun, ended, .. } = &*self.0;
        (begun.load(Ordering::Relaxed), ended.load(Ordering::Relaxed))
    }

    pub(super) fn begins(&self, version: Version) -> Option<UnderWay> {
        if version != Version::HTTP_2 {
            self.0.http1.store(true, Ordering::Relaxed);
            return None;
        }
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Some(UnderWay(Arc::clone(&self.0)))
    }
}

/// What a connection is served.
pub(super) struct Noting<S> {
    service: S,
    activity: Activity,
}

impl<S, B> Service<Request<B>> for Noting<S>
where
    S: Service<Request<B>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<B>) -> Self::Future {
        Answering {
            under_way: self.activity.begins(request.version()),
            answering: self.service.call(request),
        }
    }
}

/// The future of [`Noting`].
#[pin_project]
pub(super) struct Answering<F> {
    #[pin]
    answering: F,
    under_way: Option<UnderWay>,
}

impl<F, E> Future for Answering<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answering.poll(cx))?;
        Poll::Ready(Ok(match this.under_way.take() {
            Some(under_way) => watched(answer, under_way),
            None => answer,
        }))
    }
}
