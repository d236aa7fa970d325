//! What the layers cost a whole answer: the leaf alone, in its attempt ring, in both rings, and behind the HTTP surface.

mod rings;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::{BodyExt, Full};
use rings::Rings;
use rungs::{
    Error,
    http::OpenAi,
    json::RawObject,
    model::{ModelRequest, Operation},
};
use tower::ServiceExt;

const LIMIT: usize = 1 << 20;

fn stack_overhead(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let rings = Rings::new();
    let mut group = c.benchmark_group("stack_overhead");

    for (name, service) in [
        ("leaf", &rings.leaf),
        ("attempt_ring", &rings.attempts),
        ("both_rings", &rings.calls),
    ] {
        group.bench_function(name, |b| {
            b.to_async(&runtime).iter_batched(
                || rings.request(false),
                |request: ModelRequest| async {
                    let answer = service.clone().oneshot(request).await?;
                    answer.body.collect(LIMIT).await
                },
                BatchSize::SmallInput,
            );
        });
    }

    let route = rings.route();
    let surface = OpenAi::new(
        rings.calls.clone(),
        move |_: &_, _: Operation, _: &RawObject| Ok::<_, Error>((Rings::caller(), route.clone())),
    );
    group.bench_function("surface", |b| {
        b.to_async(&runtime).iter_batched(
            || Request::post("/v1/chat/completions").body(Full::new(Rings::question(false))),
            |request| async {
                let request = request.expect("a request");
                let Ok(response) = surface.clone().oneshot(request).await;
                response.into_body().collect().await
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, stack_overhead);
criterion_main!(benches);
