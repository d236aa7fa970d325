use std::{error::Error as _, sync::Arc};

use tokio::time::Instant;
use tracing::Span;

use super::{
    alert::Alert,
    meters::{Labels, Meters},
};
use crate::{
    catalog::Tier,
    error::Error,
    model::{CallContext, Operation, Outcome, ResponseMeta, Tap},
};

/// Where what is said about calls goes.
pub(super) struct Reports {
    alert: Alert,
    meters: Meters,
}

impl Reports {
    pub(super) fn new(alert: Alert) -> Self {
        Self {
            alert,
            meters: Meters::default(),
        }
    }

    pub(super) fn alert(&self) -> &Alert {
        &self.alert
    }
}

/// What will be said about a call once it is over. Says it exactly once.
pub(super) struct Line(Option<Open>);

struct Open {
    span: Span,
    ctx: CallContext,
    op: Operation,
    stream: bool,
    meta: ResponseMeta,
    first_frame: Option<Instant>,
    reports: Arc<Reports>,
}

impl Line {
    pub(super) fn open(
        span: Span,
        ctx: CallContext,
        op: Operation,
        stream: bool,
        reports: Arc<Reports>,
    ) -> Self {
        Self(Some(Open {
            span,
            ctx,
            op,
            stream,
            meta: ResponseMeta::default(),
            first_frame: None,
            reports,
        }))
    }

    pub(super) fn answered(&mut self, meta: &ResponseMeta) {
        if let Some(open) = &mut self.0 {
            open.meta = meta.clone();
            open.first_frame = Some(Instant::now());
        }
    }

    pub(super) fn failed(mut self, error: &Error) {
        if let Some(open) = self.0.take() {
            open.close(Outcome::Failed(error));
        }
    }
}

impl Tap for Line {
    fn on_end(mut self: Box<Self>, outcome: Outcome<'_>) {
        if let Some(open) = self.0.take() {
            open.close(outcome);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.close(Outcome::Cut);
        }
    }
}

impl Open {
    fn close(self, outcome: Outcome<'_>) {
        let status = match outcome {
            Outcome::Complete(_) => "ok",
            Outcome::Failed(error) => error.kind().as_str(),
            Outcome::Cut => "cancelled",
        };
        let labels = Labels {
            op: self.op,
            tier: self.meta.deployment.as_ref().map(|d| d.tier),
            cache: self.meta.cache,
            status,
        };
        let Reports { alert, meters } = &*self.reports;
        meters.call(labels);
        let total = self.ctx.started().elapsed();
        meters.seconds(self.op).record(total);
        let first_frame = self.first_frame.map(|at| at - self.ctx.started());
        if let (true, Some(wait)) = (self.stream, first_frame) {
            meters.first_frame(self.op).record(wait);
        }
        let _entered = self.span.enter();
        let tier = labels.tier.map_or("none", Tier::as_str);
        let cache = labels.cache.as_str();
        let attempts = self.ctx.attempts();
        let cost_usd = self.ctx.spent();
        let ms = total.as_millis();
        let first_frame_ms = first_frame.map(|wait| wait.as_millis());
        let deployment = self.meta.deployment.as_deref();
        alert.check(&self.ctx, self.op, cost_usd, deployment);
        let deployment = deployment.map(|d| d.id.as_str());
        match outcome {
            Outcome::Failed(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(status, tier, deployment, attempts, cache, %cost_usd, first_frame_ms, ms, error = %error, cause, "call failed");
            }
            _ => {
                tracing::info!(status, tier, deployment, attempts, cache, %cost_usd, first_frame_ms, ms, "call")
            }
        }
    }
}
