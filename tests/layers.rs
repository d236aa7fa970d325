//! Every layer keeps the contract, each alone and all of them in one stack.
#![cfg(feature = "testing")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use rungs::{
    ServiceBuilderExt,
    layers::{
        breaker::{BreakerConfig, BreakerLayer, BreakerState},
        budget::BudgetLayer,
        cache::{CacheLayer, CacheScope},
        commit::CommitLayer,
        conversation::{ConversationLayer, Conversations},
        cost::CostLayer,
        cross_check::{CrossCheckLayer, When},
        drain::{DrainLayer, Drains},
        escalate::{EscalateLayer, StandardJudge},
        idempotency::IdempotencyLayer,
        in_flight::InFlightLayer,
        rate::RateLayer,
        retry::{RetryConfig, RetryLayer},
        timeout::{TimeoutConfig, TimeoutLayer},
        trace::TraceLayer,
    },
    model::{BoxModelService, Quality},
    store::{
        Quota,
        memory::{
            MemoryBudgets, MemoryCache, MemoryConversations, MemoryIdempotency, MemoryLedger,
            MemoryRates,
        },
    },
    testing::{Probe, layer_contract},
};
use tower::{Layer, ServiceBuilder};

/// One line per layer, in everyday configuration: a test each.
macro_rules! layers {
    ($($name:ident => $layer:expr,)*) => {
        const LAYERS: &[&str] = &[$(stringify!($name)),*];

        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            let layer = $layer;
            layer_contract(|probe| layer(&probe).layer(probe)).await;
        })*
    };
}

layers! {
    breaker => |probe: &Probe| BreakerLayer::new(closed(probe)),
    budget => |probe: &Probe| BudgetLayer::new(probe.deployment(), Arc::new(MemoryBudgets::new())),
    cache => |_: &Probe| CacheLayer::new(Arc::new(MemoryCache::new(1 << 20)), CacheScope::Tenant),
    commit => |_: &Probe| CommitLayer::new(Arc::new(MemoryLedger::new(100))),
    conversation => |_: &Probe| ConversationLayer::new(conversations()),
    cost => |probe: &Probe| CostLayer::new(probe.deployment(), Arc::new(MemoryLedger::new(100))),
    cross_check => |_: &Probe| CrossCheckLayer::new(When::Quality(Quality::High)),
    // With places it would, on purpose, not drop the inner call with its own.
    drain => |_: &Probe| DrainLayer::new(Drains::new(0, Duration::ZERO)),
    escalate => |_: &Probe| EscalateLayer::new(StandardJudge::new()),
    idempotency => |_: &Probe| IdempotencyLayer::new(Arc::new(MemoryIdempotency::new(1 << 20))),
    in_flight => |_: &Probe| InFlightLayer::new(1),
    rate => |_: &Probe| RateLayer::new(Arc::new(MemoryRates::new()), "all").requests(Quota::per_minute(100)).tokens(Quota::per_minute(100_000)),
    retry => |_: &Probe| RetryLayer::new(RetryConfig::default()),
    timeout => |probe: &Probe| TimeoutLayer::new(probe.deployment(), TimeoutConfig::default()),
    trace => |_: &Probe| TraceLayer::new(),
}

#[test]
fn every_layer_has_a_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/layers");
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = folders
        .map(|folder| folder.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, LAYERS);
}

#[tokio::test(start_paused = true)]
async fn all_of_them_in_one_stack() {
    layer_contract(stacked).await;
}

fn stacked(probe: Probe) -> BoxModelService {
    let deployment = probe.deployment();
    ServiceBuilder::new()
        .trace()
        .commit(Arc::new(MemoryLedger::new(100)))
        .in_flight(1)
        .rate(Arc::new(MemoryRates::new()))
        .idempotency(Arc::new(MemoryIdempotency::new(1 << 20)))
        .conversation(conversations())
        .cache(Arc::new(MemoryCache::new(1 << 20)), CacheScope::Tenant)
        .cross_check(When::Quality(Quality::High))
        .escalate(StandardJudge::new())
        .breaker(closed(&probe))
        .retries(RetryConfig::default())
        .budget(deployment.clone(), Arc::new(MemoryBudgets::new()))
        .cost(deployment.clone(), Arc::new(MemoryLedger::new(100)))
        .timeouts(deployment, TimeoutConfig::default())
        .ring(probe)
}

fn conversations() -> Conversations {
    Conversations::new(Arc::new(MemoryConversations::new(10)), 10)
}

fn closed(probe: &Probe) -> BreakerState {
    BreakerState::new(probe.deployment().id.clone(), BreakerConfig::default())
}
