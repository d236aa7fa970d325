use std::sync::{Arc, OnceLock};

use metrics::Counter;

use crate::{
    catalog::Deployment,
    model::{Charge, Violation},
    store::RowStatus,
};

/// The metrics of one deployment, looked up on first use: a recorder may be installed after the stack is built.
pub(super) struct Meters {
    deployment: Arc<Deployment>,
    counters: OnceLock<Counters>,
}

struct Counters {
    ok: Counter,
    input: Counter,
    output: Counter,
    cost: Counter,
}

impl Meters {
    pub(super) fn new(deployment: Arc<Deployment>) -> Self {
        Self {
            deployment,
            counters: OnceLock::new(),
        }
    }

    pub(super) fn count(&self, status: RowStatus, charge: &Charge) {
        let counters = self.counters.get_or_init(|| self.register());
        match status {
            RowStatus::Ok => counters.ok.increment(1),
            status => self.attempts(status).increment(1),
        }
        if let Some(usage) = charge.usage {
            counters.input.increment(usage.total_input());
            counters.output.increment(usage.total_output());
        }
        counters.cost.increment(charge.cost.nanos().unsigned_abs());
        if let Some(violation) = charge.violation {
            self.violations(violation).increment(1);
        }
    }

    fn violations(&self, violation: Violation) -> Counter {
        metrics::counter!("rungs_bound_violations_total", "deployment" => self.id(), "kind" => violation.as_str())
    }

    fn attempts(&self, status: RowStatus) -> Counter {
        metrics::counter!("rungs_attempts_total", "deployment" => self.id(), "status" => status.as_str())
    }

    fn register(&self) -> Counters {
        let tokens = |kind| metrics::counter!("rungs_tokens_total", "deployment" => self.id(), "kind" => kind);
        Counters {
            ok: self.attempts(RowStatus::Ok),
            input: tokens("input"),
            output: tokens("output"),
            cost: metrics::counter!("rungs_cost_nanodollars_total", "deployment" => self.id()),
        }
    }

    fn id(&self) -> String {
        self.deployment.id.as_str().to_owned()
    }
}
