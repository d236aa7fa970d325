use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::meters::Meters;
use crate::{
    catalog::Deployment,
    error::{Error, ErrorKind},
    model::{Charge, Ending, ModelRequest, Outcome, Tap, TokenBound, Usage},
    store::{Intent, Ledger, LedgerRow, RowStatus},
};

/// A row in the making. It is written exactly once: by the end of the answer, by an error, or by being dropped.
pub(super) struct Entry(Option<Open>);

struct Open {
    ledger: Arc<dyn Ledger>,
    deployment: Arc<Deployment>,
    meters: Arc<Meters>,
    request: ModelRequest,
    /// `None` where nothing bounds the output.
    bound: Option<TokenBound>,
    frames: u64,
    started: SystemTime,
    clock: Instant,
    first_frame_ms: Option<u32>,
    /// Unless it costs nothing.
    intent: Intent,
}

impl Entry {
    pub(super) fn open(
        request: &ModelRequest,
        deployment: Arc<Deployment>,
        ledger: Arc<dyn Ledger>,
        meters: Arc<Meters>,
    ) -> Self {
        let mut open = Open {
            request: request.clone(),
            bound: TokenBound::of(request, &deployment).ok(),
            ledger,
            meters,
            deployment,
            frames: 0,
            started: SystemTime::now(),
            clock: Instant::now(),
            first_frame_ms: None,
            intent: Intent::default(),
        };
        if !open.deployment.is_free() {
            let interrupted = open.row(RowStatus::Interrupted, &open.charge(Ending::Partial));
            open.intent = open.ledger.begin(&interrupted);
        }
        Self(Some(open))
    }

    pub(super) fn first_frame(&mut self) {
        if let Some(open) = &mut self.0 {
            open.first_frame_ms = Some(open.elapsed_ms());
        }
    }

    /// The attempt failed before its answer began.
    pub(super) fn failed(mut self, error: &Error) {
        if let Some(open) = self.0.take() {
            open.close(status(error), Ending::Unanswered(error));
        }
    }
}

impl Tap for Entry {
    fn on_data(&mut self, _: &Bytes) {
        if let Some(open) = &mut self.0 {
            open.frames += 1;
        }
    }

    fn on_end(mut self: Box<Self>, outcome: Outcome<'_>) {
        let Some(open) = self.0.take() else { return };
        match outcome {
            Outcome::Complete(end) => open.close(RowStatus::Ok, Ending::Complete(end)),
            Outcome::Failed(error) => open.close(status(error), Ending::Partial),
            Outcome::Cut => open.close(RowStatus::Cancelled, Ending::Partial),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.close(RowStatus::Cancelled, Ending::Partial);
        }
    }
}

fn status(error: &Error) -> RowStatus {
    match error.kind() {
        ErrorKind::Cut => RowStatus::Truncated,
        kind => RowStatus::Failed(kind),
    }
}

impl Open {
    fn close(mut self, status: RowStatus, ending: Ending<'_>) {
        let charge = self.charge(ending);
        let ctx = &self.request.ctx;
        ctx.charge(charge.cost);
        self.meters.count(status, &charge);
        if let (Some(violation), Ending::Complete(end)) = (charge.violation, ending) {
            tracing::warn!(
                request = &*ctx.id,
                deployment = %self.deployment.id,
                what = violation.as_str(),
                usage = ?end.usage,
                reported_cost = ?end.reported_cost,
                charged = %charge.cost,
                "a provider told more than the request can have used"
            );
        }
        let row = self.row(status, &charge);
        let intent = std::mem::take(&mut self.intent);
        self.ledger.end(intent, row);
    }

    fn charge(&self, ending: Ending<'_>) -> Charge {
        Charge::of(&self.deployment, self.bound, ending, self.seen())
    }

    fn row(&self, status: RowStatus, charge: &Charge) -> LedgerRow {
        let deployment = &self.deployment;
        let ModelRequest {
            ctx, op, attempt, ..
        } = &self.request;
        LedgerRow {
            request: ctx.id.clone(),
            attempt: *attempt,
            tenant: ctx.tenant.clone(),
            accounts: ctx.accounts.clone(),
            key: ctx.key.clone(),
            user: ctx.user.clone(),
            conversation: ctx.conversation.clone(),
            op: *op,
            deployment: deployment.id.clone(),
            tier: deployment.tier,
            status,
            usage: charge.usage,
            cost: charge.cost,
            source: charge.source,
            price_version: deployment.price_version.clone(),
            clamped: charge.is_clamped(),
            started: self.started,
            first_frame_ms: self.first_frame_ms,
            total_ms: self.elapsed_ms(),
        }
    }

    /// What can be told of the tokens without the provider: about four bytes each, and one a frame.
    fn seen(&self) -> Usage {
        let prompt = self.request.body.as_bytes().len() as u64;
        Usage::new(prompt.div_ceil(4), self.frames)
    }

    fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.clock.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}
