use std::{fmt, sync::Arc};

use crate::{
    catalog::{Deployment, Money},
    model::{CallContext, Operation},
};

/// A call that has cost more than calls should, as [`TraceLayer::on_alert`](super::TraceLayer::on_alert) is told of it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CostAlert<'a> {
    /// Whose call it was, and its id.
    pub ctx: &'a CallContext,
    /// What was asked for.
    pub op: Operation,
    /// Who answered, if somebody did.
    pub deployment: Option<&'a Deployment>,
    /// What its attempts have cost together, until its answer ended.
    pub cost: Money,
    /// What was not to be passed.
    pub threshold: Money,
}

/// Above what somebody is told of a call, and who beside the log.
#[derive(Clone, Default)]
pub(super) struct Alert {
    pub(super) above: Option<Money>,
    pub(super) tell: Option<Tell>,
}

pub(super) type Tell = Arc<dyn Fn(&CostAlert<'_>) + Send + Sync>;

impl Alert {
    /// To be called in the call's span.
    pub(super) fn check(
        &self,
        ctx: &CallContext,
        op: Operation,
        cost: Money,
        deployment: Option<&Deployment>,
    ) {
        let Some(threshold) = self.above.filter(|above| cost > *above) else {
            return;
        };
        let id = deployment.map(|d| d.id.as_str());
        tracing::warn!(cost_usd = %cost, alert = %threshold, deployment = id, "a call cost more than the alert threshold");
        metrics::counter!("rungs_cost_alerts_total", "op" => op.as_str()).increment(1);
        if let Some(tell) = &self.tell {
            tell(&CostAlert {
                ctx,
                op,
                deployment,
                cost,
                threshold,
            });
        }
    }
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alert")
            .field("above", &self.above)
            .finish_non_exhaustive()
    }
}
