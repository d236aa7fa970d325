use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, Either};
use tokio::time::Instant;
use tower_service::Service;

use super::{
    IdempotencyLayer,
    name::{name, question},
    tap::{Carrying, IdempotencyTap},
};
use crate::{
    catalog::{Deployment, DeploymentId},
    error::{Error, ErrorKind},
    model::{CacheStatus, Collected, ModelRequest, ModelResponse, ModelService, ResponseMeta},
    store::{Begun, Claim, IdempotencyKey, KeptCall, KeptOutcome, LedgerRow},
};

/// When a client may ask again while the first call is under way.
const SOON: Duration = Duration::from_secs(1);

/// The service of [`IdempotencyLayer`].
#[derive(Debug, Clone)]
pub struct Idempotency<S> {
    inner: S,
    layer: Arc<IdempotencyLayer>,
}

impl<S> Idempotency<S> {
    pub(super) fn new(inner: S, layer: IdempotencyLayer) -> Self {
        Self {
            inner,
            layer: Arc::new(layer),
        }
    }
}

impl<S: ModelService> Service<ModelRequest> for Idempotency<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<ModelResponse, Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let Some(name) = name(&request) else {
            return Either::Left(self.inner.call(request));
        };
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let layer = Arc::clone(&self.layer);
        Either::Right(Box::pin(
            async move { layer.answer(name, request, inner).await },
        ))
    }
}

impl IdempotencyLayer {
    /// What came of the call of that name, or the call itself.
    async fn answer(
        &self,
        name: IdempotencyKey,
        request: ModelRequest,
        inner: impl ModelService,
    ) -> Result<ModelResponse, Error> {
        let (began, question) = (Instant::now(), question(&request));
        let patience = match request.ctx.time_left() {
            Some(left) => self.config.wait.min(left),
            None => self.config.wait,
        };
        match self.store.begin(&name, &question, patience).await? {
            Begun::New(claim) => {
                let carrying = Carrying {
                    claim: Claim::new(Arc::clone(&self.store), name, claim),
                    question,
                    config: self.config,
                    ctx: request.ctx.clone(),
                };
                carry_out(carrying, request, inner).await
            }
            Begun::Done(call) => self.replay(&call, &request, began),
            Begun::Failed(error) => Err(error),
            Begun::Busy => Err(Error::new(
                ErrorKind::Conflict,
                "a call with this Idempotency-Key is still under way; ask again with the same key to get its answer",
            )
            .retry_after(SOON)),
            Begun::Different => Err(Error::new(
                ErrorKind::Reused,
                "this Idempotency-Key was used for another request; a new request needs a new key",
            )
            .param("idempotency-key")),
        }
    }

    fn replay(
        &self,
        call: &KeptCall,
        request: &ModelRequest,
        began: Instant,
    ) -> Result<ModelResponse, Error> {
        let (deployment, answer) = match &call.outcome {
            KeptOutcome::Answer { deployment, answer } => (deployment, answer),
            KeptOutcome::Failed(error) => return Err(error.clone()),
        };
        let deployment = deployment.as_ref().and_then(|id| known(id, request));
        if let (Some(ledger), Some(deployment)) = (&self.ledger, &deployment) {
            ledger.record(LedgerRow::without_attempt(
                request,
                deployment,
                began.elapsed(),
            ));
        }
        let meta = ResponseMeta {
            deployment,
            cache: CacheStatus::Off,
            replayed: true,
            ..ResponseMeta::default()
        };
        let body = Collected::clone(answer).into_body();
        Ok(ModelResponse { meta, body })
    }
}

async fn carry_out(
    carrying: Carrying,
    request: ModelRequest,
    mut inner: impl ModelService,
) -> Result<ModelResponse, Error> {
    match inner.call(request).await {
        Ok(ModelResponse { meta, body }) => {
            let tap = IdempotencyTap {
                carrying,
                deployment: meta.deployment.as_ref().map(|d| d.id.clone()),
                whole: body.is_whole(),
                data: Vec::new(),
                size: 0,
            };
            let body = body.tap(tap);
            Ok(ModelResponse { meta, body })
        }
        Err(error) => {
            carrying.failed(&error);
            Err(error)
        }
    }
}

/// The deployment, if the model name still stands for it.
fn known(id: &DeploymentId, request: &ModelRequest) -> Option<Arc<Deployment>> {
    let targets = &request.route.targets;
    let mut all = targets.first().iter().chain(targets.fallback());
    all.find(|deployment| deployment.id == *id).cloned()
}
