use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tower_service::Service;

use super::{
    RateLayer,
    limit::{Limit, Taken},
    tap::RateTap,
};
use crate::{
    error::{Error, ErrorKind},
    model::{ModelRequest, ModelResponse, ModelService},
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
            let (one, tokens) = limits.admit(&request).await?;
            match inner.call(request).await {
                Ok(answer) => Ok(ModelResponse {
                    meta: answer.meta,
                    body: match tokens {
                        Some(tokens) => answer.body.tap(RateTap(tokens)),
                        None => answer.body,
                    },
                }),
                Err(error) => {
                    give_back(&error, one, tokens);
                    Err(error)
                }
            }
        })
    }
}

impl RateLayer {
    /// Takes what `request` needs of both limits, or of none.
    async fn admit(&self, request: &ModelRequest) -> Result<(Option<Taken>, Option<Taken>), Error> {
        let take = async |limit: &Option<Limit>| match limit {
            Some(limit) => limit.take(&self.store, self.key, request).await,
            None => Ok(None),
        };
        let one = take(&self.requests).await?;
        match take(&self.tokens).await {
            Ok(tokens) => Ok((one, tokens)),
            Err(refused) => {
                correct(one, 0);
                Err(refused)
            }
        }
    }
}

/// An error before the first frame has used no tokens, unless it only tells that we did not wait for them.
fn give_back(error: &Error, one: Option<Taken>, tokens: Option<Taken>) {
    if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Cut) {
        return;
    }
    correct(tokens, 0);
    if !error.is_upstream() {
        correct(one, 0);
    }
}

fn correct(taken: Option<Taken>, used: u64) {
    if let Some(taken) = taken {
        taken.correct(used);
    }
}
