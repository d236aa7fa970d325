use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    CacheScope,
    flight::{Answering, Landed},
    flights::{Flights, Name, Seat},
    question::Question,
    reader::Reader,
    shelf::Shelf,
};
use crate::{
    error::{Error, ErrorKind},
    model::{
        CacheStatus, CacheUse, CallContext, End, ModelBody, ModelRequest, ModelResponse,
        ModelService,
    },
};

/// The service of a [`CacheLayer`](super::CacheLayer).
#[derive(Clone)]
pub struct Cache<S> {
    inner: S,
    scope: CacheScope,
    epoch: [u8; 32],
    shelf: Arc<Shelf>,
    flights: Arc<Flights>,
}

impl<S> Cache<S> {
    pub(super) fn new(inner: S, scope: CacheScope, epoch: [u8; 32], shelf: Shelf) -> Self {
        Self {
            inner,
            scope,
            epoch,
            shelf: Arc::new(shelf),
            flights: Arc::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }
}

impl<S: ModelService> Service<ModelRequest> for Cache<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if request.cache == CacheUse::Bypass {
            return Box::pin(inner.call(request));
        }
        let name = Name {
            key: self.scope.key(&self.epoch, &request),
            stream: request.wants_stream(),
        };
        let asking = Asking {
            inner,
            name,
            shelf: Arc::clone(&self.shelf),
            request,
        };
        if asking.request.cache == CacheUse::Refresh {
            return asking.ask(false);
        }
        Box::pin(asking.answer(Arc::clone(&self.flights)))
    }
}

/// One call that may use the cache.
struct Asking<S> {
    inner: S,
    name: Name,
    shelf: Arc<Shelf>,
    request: ModelRequest,
}

impl<S: ModelService> Asking<S> {
    /// A kept answer, the answer that another call is fetching, or a new one.
    async fn answer(self, flights: Arc<Flights>) -> Result<ModelResponse, Error> {
        let mark = flights.landed(&self.name);
        if let Some(hit) = self.shelf.find(&self.name.key, &self.request).await {
            return Ok(hit);
        }
        let began = Instant::now();
        let (name, shelf, request) = (
            self.name.clone(),
            Arc::clone(&self.shelf),
            self.request.clone(),
        );
        let limit = shelf.config.max_entry_bytes;
        let mut asking = Some(self);
        loop {
            let seat = flights.board(name.clone(), mark, &request.ctx, limit, |recheck| {
                asking.take().expect("a call leads once").ask(recheck)
            });
            match seat {
                Seat::Leader(reader) => {
                    let landed = reader.landed().await?;
                    return Ok(ModelResponse {
                        meta: landed.meta,
                        body: body(reader, landed.whole, None),
                    });
                }
                Seat::Follower(reader) => {
                    let deadline = request.ctx.deadline;
                    let landed = match reader.landed_by(deadline).await {
                        Err(error) if has_time(&request.ctx) && is_its_own(&error, &reader) => {
                            continue;
                        }
                        landed => landed?,
                    };
                    if may_do_better(&request.ctx, &landed, &reader)
                        && let Some(asking) = asking.take()
                    {
                        drop(reader);
                        return asking.ask(false).await;
                    }
                    let mut meta = landed.meta;
                    meta.cache = CacheStatus::Shared;
                    if let Some(deployment) = &meta.deployment {
                        shelf.record(&request, deployment, began.elapsed());
                    }
                    let body = body(reader, landed.whole, deadline);
                    return Ok(ModelResponse { meta, body });
                }
            }
        }
    }

    /// Asks the inner service; first the store once more, if the answer may have come since.
    fn ask(self, recheck: bool) -> Answering {
        let Self {
            mut inner,
            name: Name { key, .. },
            shelf,
            request,
        } = self;
        Box::pin(async move {
            if recheck && let Some(mut hit) = shelf.find(&key, &request).await {
                // Another call has paid for it just now, and may not have that on the disk yet.
                hit.meta.cache = CacheStatus::Shared;
                return Ok(hit);
            }
            let (question, targets) = (Question::of(&request), request.route.targets.clone());
            let response = inner.call(request).await?;
            Ok(shelf.keep(key, question, &targets, response))
        })
    }
}

fn body(reader: Reader, whole: Option<(Bytes, End)>, deadline: Option<Instant>) -> ModelBody {
    match whole {
        Some((data, end)) => ModelBody::whole(data, end),
        None => reader.into_body(deadline),
    }
}

fn has_time(ctx: &CallContext) -> bool {
    ctx.time_left().is_none_or(|left| !left.is_zero())
}

/// Whether what is said about a flight's answer may be due to what its leader can pay, and is not known to hold for this call too.
fn may_do_better(ctx: &CallContext, landed: &Landed, reader: &Reader) -> bool {
    let leader = reader.leader();
    let same = ctx.accounts == leader.accounts && ctx.on_exhaust == leader.on_exhaust;
    !landed.meta.notes.is_empty() && !same
}

/// Whether a flight's error tells about the call that leads it, and not about the answer to the question.
fn is_its_own(error: &Error, reader: &Reader) -> bool {
    match error.kind() {
        ErrorKind::Budget | ErrorKind::Forbidden | ErrorKind::Unauthorized => true,
        ErrorKind::RateLimited => !error.is_upstream(),
        ErrorKind::Timeout => !has_time(reader.leader()),
        _ => false,
    }
}

impl<S> fmt::Debug for Cache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("scope", &self.scope)
            .field("config", &self.shelf.config)
            .finish_non_exhaustive()
    }
}
