//! What the layers cost each chunk of a stream: 100 chunks from the leaf to the bytes of the HTTP body.

mod rings;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::Request;
use http_body_util::{BodyExt, Full};
use rings::{CHUNKS, Rings};
use rungs::{
    Error,
    http::OpenAi,
    json::RawObject,
    model::{BoxModelService, Operation},
};
use tower::ServiceExt;

fn stream(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let rings = Rings::new();
    let surface = |ring: &BoxModelService| {
        let route = rings.route();
        OpenAi::new(ring.clone(), move |_: &_, _: Operation, _: &RawObject| {
            Ok::<_, Error>((Rings::caller(), route.clone()))
        })
    };
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(CHUNKS as u64));

    for (name, ring) in [
        ("leaf", &rings.leaf),
        ("attempt_ring", &rings.attempts),
        ("both_rings", &rings.calls),
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
