use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::meters::Meters;
use crate::{
    catalog::Deployment,
    error::{Error, ErrorKind},
    model::{CallContext, Charge, Ending, ModelRequest, Outcome, Tap, TokenBound, Usage},
    store::{Intent, Ledger, LedgerRow, RowStatus},
};

/// A row in the making. It is written exactly once: by the end of the answer, by an error, or by being dropped.
pub(super) struct Entry(Option<Open>);

struct Open {
    ledger: Arc<dyn Ledger>,
    deployment: Arc<Deployment>,
    meters: Arc<Meters>,
    ctx: CallContext,
    /// The bytes of the request.
    asked: u64,
    /// `None` where nothing bounds the output.
    bound: Option<TokenBound>,
    frames: u64,
    clock: Instant,
    /// Unless it costs nothing.
    intent: Intent,
    /// What is left should the process die now.
    row: LedgerRow,
}

impl Entry {
    pub(super) fn open(
        request: &ModelRequest,
        deployment: Arc<Deployment>,
        ledger: Arc<dyn Ledger>,
        meters: Arc<Meters>,
    ) -> Result<Self, Error> {
        let mut open = Open {
            row: LedgerRow::interrupted(request, &deployment),
            bound: TokenBound::of(request, &deployment).ok(),
            ctx: request.ctx.clone(),
            asked: request.body.as_bytes().len() as u64,
            ledger,
            meters,
            deployment,
            frames: 0,
            clock: Instant::now(),
            intent: Intent::default(),
        };
        if !open.deployment.is_free() {
            open.charge(Ending::Partial);
            open.intent = open.ledger.begin(&open.row)?;
        }
        Ok(Self(Some(open)))
    }

    pub(super) fn first_frame(&mut self) {
        if let Some(open) = &mut self.0 {
            open.row.first_frame_ms = Some(open.elapsed_ms());
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
        self.row.status = status;
        self.row.total_ms = self.elapsed_ms();
        self.ctx.charge(charge.cost);
        if let Some(usage) = &charge.usage {
            self.ctx.count(usage);
        }
        self.meters.count(status, &charge);
        if let (Some(violation), Ending::Complete(end)) = (charge.violation, ending) {
            tracing::warn!(
                request = &*self.ctx.id,
                deployment = %self.deployment.id,
                what = violation.as_str(),
                usage = ?end.usage,
                reported_cost = ?end.reported_cost,
                charged = %charge.cost,
                "a provider told more than the request can have used"
            );
        }
        self.ledger.end(self.intent, self.row);
    }

    /// Writes what an attempt that ends so is charged into its row.
    fn charge(&mut self, ending: Ending<'_>) -> Charge {
        let charge = Charge::of(&self.deployment, self.bound, ending, self.seen());
        let row = &mut self.row;
        (row.usage, row.cost, row.source) = (charge.usage, charge.cost, charge.source);
        row.clamped = charge.is_clamped();
        charge
    }

    /// What can be told of the tokens without the provider: about four bytes each, and one a frame.
    fn seen(&self) -> Usage {
        Usage::new(self.asked.div_ceil(4), self.frames)
    }

    fn elapsed_ms(&self) -> u32 {
        u32::try_from(self.clock.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}
