//! A stream of 100 events: decoded from one chunk and from many, and encoded.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rungs::sse::{Decoder, encode_data};

const EVENTS: usize = 100;

fn payload(i: usize) -> String {
    format!(
        r#"{{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini","choices":[{{"index":0,"delta":{{"content":" word {i}"}},"finish_reason":null}}]}}"#
    )
}

fn decode(chunks: &[Bytes]) -> usize {
    let mut decoder = Decoder::new();
    let mut events = 0;
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Ok(Some(event)) = decoder.next_event() {
            black_box(event);
            events += 1;
        }
    }
    events
}

fn sse(c: &mut Criterion) {
    let payloads: Vec<String> = (0..EVENTS).map(payload).collect();
    let mut encoded = BytesMut::new();
    for payload in &payloads {
        encode_data(&mut encoded, payload.as_bytes());
    }
    let encoded = encoded.freeze();
    let mut group = c.benchmark_group("sse");
    group.throughput(Throughput::Elements(EVENTS as u64));

    for (name, size) in [
        ("one_chunk", encoded.len()),
        ("1kB_chunks", 1024),
        ("64B_chunks", 64),
    ] {
        let mut rest = encoded.clone();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            chunks.push(rest.split_to(size.min(rest.len())));
        }
        assert_eq!(decode(&chunks), EVENTS);
        group.bench_function(format!("decode/{name}"), |b| b.iter(|| decode(&chunks)));
    }
    group.bench_function("encode", |b| {
        b.iter(|| {
            let mut out = BytesMut::with_capacity(encoded.len());
            for payload in &payloads {
                encode_data(&mut out, black_box(payload.as_bytes()));
            }
            out
        });
    });
    group.finish();
}

criterion_group!(benches, sse);
criterion_main!(benches);
