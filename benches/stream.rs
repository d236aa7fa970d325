//! What the layers cost each chunk of a stream: 100 chunks from the leaf to the bytes of the HTTP body, in the rings and under
//! single layers that hold or wrap what passes.

mod rings;

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::Request;
use http_body_util::{BodyExt, Full};
use rings::{CHUNKS, Rings};
use rungs::{
    Error, ServiceBuilderExt,
    http::OpenAi,
    json::RawObject,
    layers::{cache::CacheScope, escalate::StandardJudge, timeout::TimeoutConfig},
    model::{BoxModelService, Operation},
    store::memory::MemoryCache,
};
use tower::{ServiceBuilder, ServiceExt};

fn stream(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let rings = Rings::new();
    let surface = |ring: BoxModelService| {
        let route = rings.route();
        OpenAi::new(ring, move |_: &_, _: Operation, _: &RawObject| {
            Ok::<_, Error>((Rings::caller(), route.clone()))
        })
    };
    let leaf = || rings.leaf.clone();
    let store = Arc::new(MemoryCache::new(64 << 20));
    let cache = ServiceBuilder::new().cache(store, CacheScope::Tenant);
    let escalate = ServiceBuilder::new().escalate(StandardJudge::new());
    let timeouts =
        ServiceBuilder::new().timeouts(rings.deployment.clone(), TimeoutConfig::default());
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(CHUNKS as u64));

    for (name, ring) in [
        ("leaf", leaf()),
        ("cache_alone", cache.ring(leaf())),
        ("escalate_alone", escalate.ring(leaf())),
        ("timeouts_alone", timeouts.ring(leaf())),
        ("attempt_ring", rings.attempts.clone()),
        ("both_rings", rings.calls.clone()),
    ] {
        let surface = surface(ring);
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter_batched(
                || Request::post("/v1/chat/completions").body(Full::new(Rings::question(true))),
                |request| async {
                    let request = request.expect("a request");
                    let Ok(response) = surface.clone().oneshot(request).await;
                    let mut body = response.into_body();
                    let mut bytes = 0;
                    while let Some(Ok(frame)) = body.frame().await {
                        bytes += frame.data_ref().map_or(0, |data| data.len());
                    }
                    bytes
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, stream);
criterion_main!(benches);
