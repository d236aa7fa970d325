use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::meters::Meters;
use crate::{
    catalog::{Deployment, Money},
    error::{Error, ErrorKind},
    model::{ModelRequest, Outcome, Tap, TokenBound, Usage},
    store::{CostSource, Intent, Ledger, LedgerRow, RowStatus},
};

/// A row in the making. It is written exactly once: by the end of the answer, by an error, or by being dropped.
pub(super) struct Entry(Option<Open>);

struct Open {
    ledger: Arc<dyn Ledger>,
    deployment: Arc<Deployment>,
    meters: Arc<Meters>,
    /// Kept for the bound, which only an attempt of unknown usage needs.
    request: ModelRequest,
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
            let (usage, cost) = open.unknown();
            let row = open.row(
                RowStatus::Interrupted,
                Some(usage),
                cost,
                CostSource::Unknown,
            );
            open.intent = open.ledger.begin(&row);
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
            open.fail(error);
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
            Outcome::Complete(end) => match end.usage {
                Some(usage) => open.close(RowStatus::Ok, Some(usage), CostSource::Computed),
                None => open.close_unknown(RowStatus::Ok),
            },
            Outcome::Failed(error) => open.fail(error),
            Outcome::Cut => open.close_unknown(RowStatus::Cancelled),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.close_unknown(RowStatus::Cancelled);
        }
    }
}

impl Open {
    fn fail(self, error: &Error) {
        let status = match error.kind() {
            ErrorKind::Cut => RowStatus::Truncated,
            kind => RowStatus::Failed(kind),
        };
        if self.frames == 0 && error.is_unbilled() {
            self.close(status, None, CostSource::Nothing);
        } else {
            self.close_unknown(status);
        }
    }

    /// The tokens are not known: the row shows an estimate, and the cost is the most that it can be.
    fn close_unknown(self, status: RowStatus) {
        let (usage, cost) = self.unknown();
        match self.deployment.is_free() {
            true => self.write(status, Some(usage), Money::ZERO, CostSource::Nothing),
            false => self.write(status, Some(usage), cost, CostSource::Unknown),
        }
    }

    fn unknown(&self) -> (Usage, Money) {
        let estimate = Usage::new(self.prompt_bytes().div_ceil(4), self.frames);
        let cost = match &self.deployment.price {
            Some(price) => self
                .bound()
                .cost(&self.deployment)
                .max(estimate.cost(price)),
            None => Money::ZERO,
        };
        (estimate, cost)
    }

    fn close(self, status: RowStatus, usage: Option<Usage>, source: CostSource) {
        match (source, usage, &self.deployment.price) {
            (CostSource::Computed, Some(reported), Some(price)) => {
                let cost = reported.cost(price);
                self.write(status, usage, cost, source);
            }
            (CostSource::Computed, _, None) => {
                self.write(status, usage, Money::ZERO, CostSource::Unknown);
            }
            _ => self.write(status, usage, Money::ZERO, source),
        }
    }

    fn write(mut self, status: RowStatus, usage: Option<Usage>, cost: Money, source: CostSource) {
        self.request.ctx.charge(cost);
        self.meters.count(status, usage, cost);
        let row = self.row(status, usage, cost, source);
        let intent = std::mem::take(&mut self.intent);
        self.ledger.end(intent, row);
    }

    fn row(
        &self,
        status: RowStatus,
        usage: Option<Usage>,
        cost: Money,
        source: CostSource,
    ) -> LedgerRow {
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
            deployment: self.deployment.id.clone(),
            tier: self.deployment.tier,
            status,
            usage,
            cost,
            source,
            price_version: None,
            clamped: false,
            started: self.started,
            first_frame_ms: self.first_frame_ms,
            total_ms: self.elapsed_ms(),
        }
    }

    fn prompt_bytes(&self) -> u64 {
        self.request.body.as_bytes().len() as u64
    }

    /// Where nothing bounds the output no budget let this attempt pass; only what was seen can be charged.
    fn bound(&self) -> TokenBound {
        let unbounded = TokenBound {
            input: 0,
            output: 0,
        };
        TokenBound::of(&self.request, &self.deployment).unwrap_or(unbounded)
    }

    fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.clock.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}
