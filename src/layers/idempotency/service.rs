use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, Either};
use tokio::time::Instant;
use tower_layer::{Identity, Layer};
use tower_service::Service;

use super::{
    IdempotencyLayer,
    carry::CarryOut,
    name::{name, question},
    tap::Carrying,
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
pub struct Idempotency<S, L = Identity> {
    inner: S,
    layer: Arc<IdempotencyLayer<L>>,
}

impl<S, L> Idempotency<S, L> {
    pub(super) fn new(inner: S, layer: IdempotencyLayer<L>) -> Self {
        Self {
            inner,
            layer: Arc::new(layer),
        }
    }
}

impl<S, L> Service<ModelRequest> for Idempotency<S, L>
where
    S: ModelService,
    L: Layer<CarryOut<S>, Service: Carries> + Send + Sync + 'static,
{
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

/// What stands around the call that is carried out.
pub trait Carries:
    Service<ModelRequest, Response = ModelResponse, Error = Error, Future: Send> + Send
{
}

impl<S> Carries for S where
    S: Service<ModelRequest, Response = ModelResponse, Error = Error, Future: Send> + Send
{
}

impl<L> IdempotencyLayer<L> {
    /// What came of the call of that name, or the call itself.
    async fn answer<S>(
        &self,
        name: IdempotencyKey,
        request: ModelRequest,
        inner: S,
    ) -> Result<ModelResponse, Error>
    where
        S: ModelService,
        L: Layer<CarryOut<S>, Service: Carries>,
    {
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
                let mut carry = self.around.layer(CarryOut::new(inner, carrying));
                poll_fn(|cx| carry.poll_ready(cx)).await?;
                carry.call(request).await
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
        let (deployment, remarks, answer) = match &call.outcome {
            KeptOutcome::Answer {
                deployment,
                remarks,
                answer,
            } => (deployment, remarks.clone(), answer),
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
            fallback: remarks.fallback,
            replayed: true,
            forgetful: remarks.forgetful,
            verdict: remarks.verdict,
            notes: remarks.notes,
        };
        let body = Collected::clone(answer).into_body();
        Ok(ModelResponse { meta, body })
    }
}

/// The deployment, if the model name still stands for it.
fn known(id: &DeploymentId, request: &ModelRequest) -> Option<Arc<Deployment>> {
    let targets = &request.route.targets;
    let mut all = targets.first().iter().chain(targets.fallback());
    all.find(|deployment| deployment.id == *id).cloned()
}
