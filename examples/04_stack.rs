//! A whole call ring over two tiers: the cheap model refuses, the call climbs, and the ledger tells what it cost.

use std::sync::Arc;

use rungs::{
    BoxError,
    catalog::{Deployment, Price, Targets, Tier},
    layers::cache::{CacheLayer, CacheScope},
    layers::cost::CostLayer,
    layers::escalate::{EscalateLayer, StandardJudge},
    layers::retry::{RetryConfig, RetryLayer},
    layers::trace::TraceLayer,
    model::{BoxModelService, RouteHint},
    route::Route,
    store::memory::{MemoryCache, MemoryLedger},
    testing::{Reply, Scripted, ask},
};
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let price = Price::per_million("0.15".parse()?, "0.60".parse()?);
    let small = Deployment::new("local", "small").price(Price::FREE);
    let big = Deployment::new("cloud", "big").tier(Tier::L1).price(price);
    let tiers = [
        Scripted::at(small, [Reply::text("I can't help with that.")]),
        Scripted::at(big, [Reply::text("Air scatters blue light the most.")]),
    ];

    let ledger = Arc::new(MemoryLedger::new(100));
    let rings = tiers.clone().map(|provider| {
        let d = provider.deployment();
        let ring = ServiceBuilder::new()
            .layer(RetryLayer::new(RetryConfig::default()))
            .layer(CostLayer::new(d.clone(), ledger.clone()))
            .service(provider);
        (d, BoxModelService::new(ring))
    });
    let cache = Arc::new(MemoryCache::new(64 << 20));
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .layer(CacheLayer::new(cache, CacheScope::Tenant))
        .layer(EscalateLayer::new(StandardJudge::new()))
        .service(Route::new(rings));

    let targets = Targets::new(tiers.each_ref().map(Scripted::deployment));
    let question = ask("Why is the sky blue?").route(RouteHint::to(targets));
    stack.oneshot(question).await?.body.collect(1 << 20).await?;
    for row in ledger.rows() {
        println!("{} {} ${}", row.attempt, row.deployment, row.cost);
    }
    assert_eq!(ledger.rows()[1].cost, tiers[1].bill());
    Ok(())
}

#[test]
fn runs() -> Result<(), BoxError> {
    main()
}
