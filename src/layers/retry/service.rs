use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tower::ServiceExt;
use tower_service::Service;

use super::RetryLayer;
use crate::{
    catalog::Deployment,
    error::{Error, ErrorKind},
    model::{CallContext, ModelRequest, ModelResponse, ModelService, Step},
};

/// The service of [`RetryLayer`].
#[derive(Debug, Clone)]
pub struct Retry<S> {
    inner: S,
    options: Arc<RetryLayer>,
}

impl<S> Retry<S> {
    pub(super) fn new(inner: S, options: RetryLayer) -> Self {
        Self {
            inner,
            options: Arc::new(options),
        }
    }
}

impl<S: ModelService> Service<ModelRequest> for Retry<S> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ModelRequest) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let options = Arc::clone(&self.options);
        Box::pin(async move {
            let RetryLayer {
                config,
                budget,
                deployment,
            } = &*options;
            let ctx = request.ctx.clone();
            let mut failed = None;
            let mut tried = 0;
            budget.deposit();
            loop {
                // Others may have used up what was left while we waited: the failure then stands.
                request.attempt = begin(&ctx).map_err(|none| failed.take().unwrap_or(none))?;
                tried += 1;
                let error = match inner.call(request.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                if !error.is_upstream() {
                    ctx.return_attempt();
                }
                let Some(wait) = config.next(tried, &error, &ctx, budget) else {
                    return Err(error);
                };
                note(&ctx, deployment.as_deref(), &error);
                failed = Some(error);
                sleep(wait).await;
                inner.ready().await?;
            }
        })
    }
}

/// Begins an attempt.
fn begin(ctx: &CallContext) -> Result<u32, Error> {
    if ctx.time_left().is_some_and(|left| left.is_zero()) {
        return Err(Error::new(
            ErrorKind::Timeout,
            "the call's deadline has passed",
        ));
    }
    ctx.begin_attempt().ok_or_else(|| {
        let max = ctx.max_attempts;
        Error::new(
            ErrorKind::Overloaded,
            format!("all {max} attempts of this call are used up"),
        )
    })
}

/// Writes down a failure that will not be seen otherwise, because it is tried again.
fn note(ctx: &CallContext, deployment: Option<&Deployment>, error: &Error) {
    ctx.note(Step {
        deployment: deployment.map(|d| d.id.clone()),
        tier: deployment.map(|d| d.tier),
        what: format!("{}; trying again", error.message()).into(),
    });
}
