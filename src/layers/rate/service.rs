use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use tower_service::Service;

use super::{
    RateLayer,
    limit::{Need, Taken, Unit},
    tap::{Counted, RateTap},
};
use crate::{
    error::{Error, ErrorKind},
    model::{CallContext, ModelRequest, ModelResponse, ModelService},
    store::{RateDecision, Standing, Take},
};

/// The service of [`RateLayer`].
#[derive(Debug, Clone)]
pub struct Rate<S> {
    inner: S,
    limits: Arc<RateLayer>,
}

impl<S> Rate<S> {
    pub(super) fn new(inner: S, limits: RateLayer) -> Self {
        Self {
            inner,
            limits: Arc::new(limits),
        }
    }
}

impl<S: ModelService> Service<ModelRequest> for Rate<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        if !self.limits.limits(&request.ctx) {
            return Box::pin(self.inner.call(request));
        }
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let limits = Arc::clone(&self.limits);
        Box::pin(async move {
            let unanswered = Unanswered::new(&request, limits.admit(&request).await?);
            let counted = Counted::of(&request);
            let answer = inner.call(request).await;
            let Admission { requests, tokens } = unanswered.answered();
            let tap = RateTap::new(tokens, counted);
            match answer {
                Ok(ModelResponse { meta, body }) => {
                    let body = match tap.answered(&meta) {
                        Some(tap) => body.tap(tap),
                        None => body,
                    };
                    Ok(ModelResponse { meta, body })
                }
                Err(error) => {
                    tap.failed(&error);
                    if !error.is_upstream() {
                        requests.iter().for_each(|taken| taken.correct(0));
                    }
                    Err(error)
                }
            }
        })
    }
}

/// What a call has taken.
#[derive(Default)]
struct Admission {
    requests: SmallVec<[Taken; 2]>,
    tokens: SmallVec<[Taken; 2]>,
}

impl Admission {
    fn give_back(&self) {
        let all = self.requests.iter().chain(&self.tokens);
        all.for_each(|taken| taken.correct(0));
    }
}

/// What a call has taken, until it is answered.
struct Unanswered {
    admission: Admission,
    ctx: CallContext,
    attempt: u32,
}

impl Unanswered {
    fn new(request: &ModelRequest, admission: Admission) -> Self {
        Self {
            admission,
            ctx: request.ctx.clone(),
            attempt: request.attempt,
        }
    }

    fn answered(mut self) -> Admission {
        std::mem::take(&mut self.admission)
    }
}

impl Drop for Unanswered {
    /// An attempt whose reader leaves before it has gone out ends, and the provider never hears of it.
    fn drop(&mut self) {
        if !self.ctx.is_sent(self.attempt) {
            self.admission.give_back();
        }
    }
}

impl RateLayer {
    /// Takes what `request` needs of every limit, or of none, and tells the call how its caller's limits stand.
    async fn admit(&self, request: &ModelRequest) -> Result<Admission, Error> {
        let needs: SmallVec<[Need<'_>; 4]> = self
            .limits
            .iter()
            .filter_map(|limit| limit.need(request))
            .collect();
        let decision = {
            let takes: SmallVec<[Take<'_>; 4]> = needs.iter().map(Need::take).collect();
            self.store.take(&takes).await?
        };
        let (RateDecision::Taken(standings) | RateDecision::Refused { standings, .. }) = &decision;
        tell(&request.ctx, &needs, standings);
        if let RateDecision::Refused {
            limit, retry_after, ..
        } = decision
        {
            let refusal = needs.get(limit).map_or_else(nameless, Need::refusal);
            return Err(refusal.retry_after(retry_after));
        }
        let mut admission = Admission::default();
        for need in needs {
            let taken = need.taken(&self.store);
            match taken.unit {
                Unit::Requests => admission.requests.push(taken),
                Unit::Tokens => admission.tokens.push(taken),
            }
        }
        Ok(admission)
    }
}

fn tell(ctx: &CallContext, needs: &[Need<'_>], standings: &[Standing]) {
    let mut facts = ctx.rates();
    for (need, standing) in needs.iter().zip(standings) {
        if need.limit.is_the_callers() {
            let facts = match need.limit.unit {
                Unit::Requests => &mut facts.requests,
                Unit::Tokens => &mut facts.tokens,
            };
            *facts = Some(need.facts(*standing).tighter(*facts));
        }
    }
    ctx.set_rates(facts);
}

fn nameless() -> Error {
    Error::new(ErrorKind::RateLimited, "a rate limit is reached")
}
