//! Everything that a request must pass before any route sees it: it is no web page's, and it is somebody's.
//!
//! A layer of its own kind and not axum's `from_fn`, because the usual case needs neither waiting nor a box.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    extract::{MatchedPath, Request},
    response::Response,
};
use foldhash::HashMap;
use futures_util::future::BoxFuture;
use pin_project::pin_project;
use tower::{Layer, Service, ServiceExt};

use super::{
    authenticate::{Caller, caller, let_in, look_up, refusal, ungranted},
    grant::Grant,
    guard,
};
use crate::gateway::Gateway;

/// Who may call what is behind a gate.
#[derive(Clone)]
pub(super) enum Grants {
    /// One route; nobody, if it has no grant.
    Of(Option<Grant>),
    /// The routes of a router, by their paths.
    ByPath(Arc<HashMap<&'static str, Grant>>),
}

impl Grants {
    /// The grant of the route that a request goes to; `None` if it goes to none.
    fn of(&self, request: &Request) -> Result<Option<Grant>, Ungranted> {
        match self {
            Self::Of(grant) => grant.map(Some).ok_or(Ungranted),
            Self::ByPath(grants) => {
                let path = request.extensions().get::<MatchedPath>();
                let grant = |path: &MatchedPath| grants.get(path.as_str()).copied();
                path.map(|path| grant(path).ok_or(Ungranted)).transpose()
            }
        }
    }
}

/// There is a route, and nobody said who may call it.
struct Ungranted;

/// Adds [`Gate`] to the routes.
#[derive(Clone)]
pub(super) struct GateLayer {
    pub(super) gateway: Gateway,
    pub(super) grants: Grants,
}

/// The gate before the routes.
#[derive(Clone)]
pub(crate) struct Gate<S> {
    gateway: Gateway,
    grants: Grants,
    inner: S,
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            gateway: self.gateway.clone(),
            grants: self.grants.clone(),
            inner,
        }
    }
}

impl<S> Service<Request> for Gate<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = GateFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let live = self.gateway.live();
        let grant = self.grants.of(&request);
        let is_mcp = matches!(grant, Ok(Some(Grant::Mcp)));
        if let Some(response) = guard::refuse(&live, &request, is_mcp) {
            return GateFuture::Refused(Some(response));
        }
        // Where there is nothing, that is told to those only who may come in at all.
        let Ok(grant) = grant else {
            return GateFuture::Refused(Some(ungranted()));
        };
        if grant == Some(Grant::Open) {
            // A probe must not depend on a store, not even with a key at hand.
            return GateFuture::Inside(self.inner.call(request));
        }
        match caller(&self.gateway, &live, &request, grant) {
            Caller::Known(principal) => match let_in(&mut request, principal, grant) {
                Ok(()) => GateFuture::Inside(self.inner.call(request)),
                Err(error) => GateFuture::Refused(Some(refusal(&error, &live, grant))),
            },
            Caller::Refused(error) => GateFuture::Refused(Some(refusal(&error, &live, grant))),
            Caller::LookUp(credential) => {
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                let gateway = self.gateway.clone();
                GateFuture::LookingUp(Box::pin(async move {
                    let principal = look_up(&gateway, &credential, grant).await;
                    match principal.and_then(|who| let_in(&mut request, who, grant)) {
                        Ok(()) => inner.oneshot(request).await,
                        Err(error) => Ok(refusal(&error, &live, grant)),
                    }
                }))
            }
        }
    }
}

/// The future of [`Gate`].
#[pin_project(project = GateProj)]
pub(crate) enum GateFuture<F> {
    Refused(Option<Response>),
    Inside(#[pin] F),
    LookingUp(BoxFuture<'static, Result<Response, Infallible>>),
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for GateFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            GateProj::Refused(response) => Poll::Ready(Ok(response.take().unwrap_or_default())),
            GateProj::Inside(inner) => inner.poll(cx),
            GateProj::LookingUp(looking) => looking.as_mut().poll(cx),
        }
    }
}
