//! Requests as [`RawObject`]s, next to `serde_json::Value`: read, rename the model, hash.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rungs::json::RawObject;
use serde_json::{Value, json};

/// The shortest chat request of at least `bytes` bytes: some options, a tool, and a conversation that fills the rest.
fn request(bytes: usize) -> Bytes {
    let requests = (1..).map(conversation);
    let mut long_enough = requests.skip_while(|request| request.len() < bytes);
    long_enough.next().expect("conversations grow")
}

fn conversation(turns: usize) -> Bytes {
    let turn = |i| {
        let role = if i % 2 == 0 { "user" } else { "assistant" };
        let content = "A turn of a conversation, with a line break\nand a \"quote\" in it, as texts have them; it goes on.";
        json!({ "role": role, "content": format!("{i}: {content}") })
    };
    let request = json!({
        "model": "auto",
        "messages": (0..turns).map(turn).collect::<Vec<_>>(),
        "temperature": 0.7,
        "max_tokens": 512,
        "tools": [{
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather of a place, now or on a day.",
                "parameters": {
                    "type": "object",
                    "properties": { "place": { "type": "string" }, "day": { "type": "string", "format": "date" } },
                    "required": ["place"],
                },
            },
        }],
        "user": "user-1234567890",
        "metadata": { "trace": "0123456789abcdef" },
    });
    request.to_string().into()
}

fn json(c: &mut Criterion) {
    for (name, bytes) in [("1kB", 1024), ("39kB", 39 * 1024)] {
        let request = request(bytes);
        let raw = RawObject::parse(request.clone()).expect("an object");
        let value: Value = serde_json::from_slice(&request).expect("JSON");
        let mut group = c.benchmark_group(format!("json/{name}"));
        group.throughput(Throughput::Bytes(request.len() as u64));

        group.bench_function("parse", |b| {
            b.iter(|| {
                RawObject::parse(black_box(request.clone())).map(|r| r.get("model").is_some())
            });
        });
        group.bench_function("set_model", |b| {
            b.iter_batched(
                || raw.clone(),
                |mut raw| raw.set("model", "gpt-4o-mini").map(|()| raw),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("parse_set_write", |b| {
            b.iter(|| {
                let mut raw = RawObject::parse(black_box(request.clone()))?;
                raw.set("model", "gpt-4o-mini")?;
                Ok::<_, rungs::Error>(raw.into_bytes())
            });
        });

        group.bench_function("value/parse", |b| {
            b.iter(|| serde_json::from_slice::<Value>(black_box(&request)));
        });
        group.bench_function("value/write", |b| {
            b.iter(|| serde_json::to_vec(black_box(&value)))
        });
        group.bench_function("value/parse_set_write", |b| {
            b.iter(|| {
                let mut value: Value = serde_json::from_slice(black_box(&request))?;
                value["model"] = "gpt-4o-mini".into();
                serde_json::to_vec(&value)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, json);
criterion_main!(benches);
