use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::{
    StreamExt,
    future::{BoxFuture, join},
};
use tower_service::Service;

use crate::{
    error::Error,
    model::{
        CacheStatus, CallContext, End, Frame, ModelBody, ModelRequest, ModelResponse, ModelService,
        ResponseMeta,
    },
    store::{Durability, Ledger, Spool, StoreFuture},
};

/// Holds ends back until they are on record. See the [module](super).
#[derive(Clone)]
pub struct Commit<S> {
    inner: S,
    ledger: Arc<dyn Ledger>,
    spool: Option<Arc<dyn Spool>>,
}

impl<S> Commit<S> {
    pub(super) fn new(inner: S, ledger: Arc<dyn Ledger>, spool: Option<Arc<dyn Spool>>) -> Self {
        Self {
            inner,
            ledger,
            spool,
        }
    }
}

impl<S: ModelService> Service<ModelRequest> for Commit<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let mut record = Record {
            ledger: Arc::clone(&self.ledger),
            // What leaves nothing there does not wait for others.
            spool: match leaves_more(&request.ctx) {
                true => self.spool.clone(),
                false => None,
            },
            ctx: request.ctx.clone(),
            paid_by_another: false,
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = match answering.await {
                Ok(answer) => answer,
                Err(error) => {
                    // It may be what another call of the name has paid for. If not, it is worth no other refusal.
                    record.paid_by_another = record.ctx.idempotency.is_some();
                    let lost = record.wait().await.err();
                    let lost = lost.filter(|_| !record.ctx.spent().is_zero());
                    return Err(lost.unwrap_or(error));
                }
            };
            let ModelResponse { meta, body } = answer;
            record.paid_by_another = is_of_another(&meta);
            let body = match body.is_whole() {
                true => whole(body, &record).await?,
                false => ModelBody::stream(Committed {
                    body,
                    record,
                    end: None,
                }),
            };
            Ok(ModelResponse { meta, body })
        })
    }
}

/// Whether a call leaves a turn, or its name.
fn leaves_more(ctx: &CallContext) -> bool {
    ctx.conversation.is_some() || ctx.idempotency.is_some()
}

/// Whether another call has paid for an answer, perhaps just now.
fn is_of_another(meta: &ResponseMeta) -> bool {
    meta.replayed || meta.cache == CacheStatus::Shared
}

/// What is to be on record.
struct Record {
    ledger: Arc<dyn Ledger>,
    spool: Option<Arc<dyn Spool>>,
    ctx: CallContext,
    /// Whoever is told its answer may repeat the call, and it must not be paid for again.
    paid_by_another: bool,
}

impl Record {
    fn is_safe(&self) -> Option<StoreFuture<'static, ()>> {
        let what = match self.paid_by_another {
            true => Durability::PowerLoss,
            false => Durability::of(self.ctx.spent()),
        };
        let rows = self.ledger.survives(what);
        let spool = self.spool.as_ref();
        let Some(rest) = spool.and_then(|spool| spool.survives(what)) else {
            return rows;
        };
        Some(Box::pin(async move {
            let rows = async {
                match rows {
                    Some(rows) => rows.await,
                    None => Ok(()),
                }
            };
            // What cannot be written down is in memory still, and on the log: no reason to take an answer back.
            join(rows, rest).await.0
        }))
    }

    async fn wait(&self) -> Result<(), Error> {
        match self.is_safe() {
            Some(safe) => self.judge(safe.await),
            None => Ok(()),
        }
    }

    /// Whether an end may pass. A row that says that nothing was spent is worth no refusal, unless another call has paid.
    fn judge(&self, safe: Result<(), Error>) -> Result<(), Error> {
        match self.ctx.spent().is_zero() && !self.paid_by_another {
            true => Ok(()),
            false => safe,
        }
    }
}

/// Reads an answer that is in memory to its end, which writes its rows.
async fn whole(mut body: ModelBody, record: &Record) -> Result<ModelBody, Error> {
    let mut data = None;
    while let Some(frame) = body.next().await {
        match frame? {
            Frame::Data(bytes) => data = Some(bytes),
            Frame::End(end) => {
                record.wait().await?;
                let data = data.unwrap_or_default();
                return Ok(ModelBody::whole(data, end));
            }
        }
    }
    Err(Error::internal("an answer was read twice"))
}

/// A stream whose end, or failure, waits.
struct Committed {
    body: ModelBody,
    record: Record,
    end: Option<(Result<End, Error>, StoreFuture<'static, ()>)>,
}

impl Stream for Committed {
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.end.is_none() {
            let end = match ready!(this.body.poll_next_unpin(cx)) {
                Some(Ok(Frame::End(end))) => Ok(end),
                Some(Err(error)) => Err(error),
                data => return Poll::Ready(data),
            };
            match this.record.is_safe() {
                Some(safe) => this.end = Some((end, safe)),
                None => return Poll::Ready(Some(end.map(Frame::End))),
            }
        }
        let Some((_, safe)) = &mut this.end else {
            return Poll::Ready(None);
        };
        let safe = ready!(safe.as_mut().poll(cx));
        let safe = this.record.judge(safe);
        let end = this.end.take().map(|(end, _)| end);
        Poll::Ready(end.map(|end| safe.and(end).map(Frame::End)))
    }
}

impl<S: fmt::Debug> fmt::Debug for Commit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
