use std::sync::OnceLock;

use metrics::{Counter, Histogram};

use crate::{
    catalog::Tier,
    model::{CacheStatus, Operation},
};

/// The metrics of the calls that go well, each looked up on first use: a recorder may be installed after the stack is built, and
/// a look-up costs more than counting.
#[derive(Default)]
pub(super) struct Meters {
    /// By operation, tier and cache state.
    ok: [[[OnceLock<Counter>; CACHE_STATES]; TIERS]; OPERATIONS],
    seconds: [OnceLock<Histogram>; OPERATIONS],
    first_frame: [OnceLock<Histogram>; OPERATIONS],
}

const OPERATIONS: usize = Operation::ALL.len();
const TIERS: usize = Tier::MAX.level() as usize + 1;
const CACHE_STATES: usize = CacheStatus::ALL.len();

/// What a call is counted under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels {
    pub(super) op: Operation,
    /// The tier that answered, if one did.
    pub(super) tier: Option<Tier>,
    pub(super) cache: CacheStatus,
    pub(super) status: &'static str,
}

impl Meters {
    pub(super) fn call(&self, labels: Labels) {
        match labels {
            Labels {
                op,
                tier: Some(tier),
                cache,
                status: "ok",
            } => self.ok[op as usize][usize::from(tier.level())][cache as usize]
                .get_or_init(|| labels.counter())
                .increment(1),
            _ => labels.counter().increment(1),
        }
    }

    pub(super) fn seconds(&self, op: Operation) -> &Histogram {
        self.seconds[op as usize]
            .get_or_init(|| metrics::histogram!("rungs_call_seconds", "op" => op.as_str()))
    }

    pub(super) fn first_frame(&self, op: Operation) -> &Histogram {
        self.first_frame[op as usize]
            .get_or_init(|| metrics::histogram!("rungs_first_frame_seconds", "op" => op.as_str()))
    }
}

impl Labels {
    fn counter(self) -> Counter {
        let tier = self.tier.map_or("none", Tier::as_str);
        metrics::counter!(
            "rungs_calls_total",
            "op" => self.op.as_str(), "tier" => tier, "cache" => self.cache.as_str(), "status" => self.status
        )
    }
}
