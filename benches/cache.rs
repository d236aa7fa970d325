//! What a hit costs in the layer itself: the hash of the question, the look-up, and reading the answer to its end.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::{FutureExt, StreamExt};
use rungs::{
    catalog::Targets,
    layers::cache::{CacheLayer, CacheScope},
    model::{CacheStatus, ModelRequest, RouteHint},
    store::{CacheEntry, CacheKey, CacheStore, StoreFuture},
    testing::{Reply, Scripted, ask, ask_stream},
};
use tower::{Layer, Service, ServiceExt};

/// The simplest store there is, so that the layer is measured and not a store.
#[derive(Default)]
struct Map(Mutex<HashMap<CacheKey, Arc<CacheEntry>>>);

impl CacheStore for Map {
    fn get<'a>(&'a self, key: &'a CacheKey) -> StoreFuture<'a, Option<Arc<CacheEntry>>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::future::ready(Ok(entries.get(key).cloned())).boxed()
    }

    fn put(&self, key: CacheKey, entry: Arc<CacheEntry>, _: Duration) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(key, entry);
    }
}

fn hits(c: &mut Criterion) {
    let question = "why is the sky blue? ".repeat(50);
    let kilobyte = "word ".repeat(130);
    let chunks = "word ".repeat(99);
    bench(c, "hit, whole answer of 1 kB", &kilobyte, ask(&question));
    bench(
        c,
        "hit, stream of 100 chunks",
        &chunks,
        ask_stream(&question),
    );
}

/// The name of a question, by its length.
fn keys(c: &mut Criterion) {
    for bytes in [1_000, 10_000, 40_000] {
        let request = ask(&"why? ".repeat(bytes / 5));
        c.bench_function(
            &format!("cache/key, question of {} kB", bytes / 1_000),
            |b| {
                b.iter(|| CacheScope::Tenant.key(&[0; 32], black_box(&request)));
            },
        );
    }
}

fn bench(c: &mut Criterion, name: &str, answer: &str, request: ModelRequest) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers");
    let provider = Scripted::new(Reply::text(answer));
    let request = request.route(RouteHint::to(Targets::new([provider.deployment()])));
    let layer = CacheLayer::new(Arc::new(Map::default()), CacheScope::Tenant);
    let mut stack = layer.layer(provider.clone());

    let filled = async {
        let answer = stack.ready().await?.call(request.clone()).await?;
        answer.body.collect(1 << 20).await
    };
    runtime.block_on(filled).expect("the script has an answer");

    c.bench_function(name, |b| {
        b.to_async(&runtime).iter(|| {
            let answer = stack.call(request.clone());
            async {
                let mut answer = answer.await.expect("a hit");
                assert_eq!(answer.meta.cache, CacheStatus::Hit);
                while let Some(frame) = answer.body.next().await {
                    black_box(frame).expect("a kept answer does not fail");
                }
            }
        });
    });
    assert_eq!(provider.calls(), 1);
}

criterion_group!(benches, hits, keys);
criterion_main!(benches);
