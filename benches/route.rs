//! The decision where a request goes, among 60 deployments on four tiers.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use rungs::{
    catalog::{Capability, Deployment, Targets, Tier},
    model::{BoxModelService, ModelRequest, RouteHint},
    route::Route,
    testing::{Reply, Scripted, ask},
};

const TIERS: [Tier; 4] = [Tier::L0, Tier::L1, Tier::L2, Tier::L3];

fn deployment(i: usize) -> Arc<Deployment> {
    let capabilities = [Capability::General, Capability::Code, Capability::Reasoning];
    let deployment = Deployment {
        context_window: Some(8192 << (i % 5)),
        priority: (i % 7) as i32,
        ..Deployment::new(&format!("provider-{}", i % 6), &format!("model-{i}"))
    };
    let count = 1 + i % capabilities.len();
    let deployment = deployment.tier(TIERS[i % TIERS.len()]);
    Arc::new(deployment.capabilities(capabilities.into_iter().take(count)))
}

fn route(c: &mut Criterion) {
    let deployments: Vec<_> = (0..60).map(deployment).collect();
    let leaf = BoxModelService::new(Scripted::new(Reply::text("")));
    let route = Route::new(deployments.iter().map(|d| (d.clone(), leaf.clone())));
    let hint = RouteHint::to(Targets::new(deployments));
    let short = "What is the capital of France?".to_owned();
    let long = "Refactor this function step by step, and compare the trade-offs. ".repeat(60);
    let mut group = c.benchmark_group("route");

    for (name, question) in [("short", short), ("4kB", long)] {
        let request: ModelRequest = ask(&question).route(hint.clone());
        group.bench_function(format!("decide/{name}"), |b| {
            b.iter(|| route.decide(black_box(&request)));
        });
        let unclassified = route.clone().unclassified();
        group.bench_function(format!("decide_unclassified/{name}"), |b| {
            b.iter(|| unclassified.decide(black_box(&request)));
        });
    }
    group.finish();
}

criterion_group!(benches, route);
criterion_main!(benches);
