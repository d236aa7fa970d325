use proptest::prelude::*;

use super::*;

const ABSURD: u64 = Usage::ABSURD;

#[test]
fn r2_usage_is_taken_apart_into_disjoint_buckets() {
    let buckets = |input, cache_read, cache_write_5m, cache_write_1h, output, reasoning| {
        Some(Usage {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
        })
    };
    #[rustfmt::skip]
    let rows = [
        (r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}"#, buckets(9, 0, 0, 0, 3, 0)),
        (r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, buckets(0, 0, 0, 0, 0, 0)),
        (r#"{"prompt_tokens":9.0,"completion_tokens":3}"#, buckets(9, 0, 0, 0, 3, 0)),
        (r#"{"prompt_tokens":100,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":20}}"#, buckets(36, 64, 0, 0, 10, 20)),
        (r#"{"prompt_tokens":100,"completion_tokens":30,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}"#, buckets(100, 0, 0, 0, 30, 0)),
        (r#"{"prompt_tokens":100,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":50}}"#, buckets(10, 40, 50, 0, 3, 0)),
        (r#"{"prompt_tokens":100,"completion_tokens":3,"cache_creation_input_tokens":50}"#, buckets(50, 0, 50, 0, 3, 0)),
        (r#"{"prompt_tokens":100,"completion_tokens":3,"cache_creation_input_tokens":60,"cache_creation":{"ephemeral_5m_input_tokens":50,"ephemeral_1h_input_tokens":10}}"#, buckets(40, 0, 50, 10, 3, 0)),
        (r#"{"prompt_tokens":100,"completion_tokens":3,"prompt_cache_hit_tokens":80,"prompt_cache_miss_tokens":20}"#, buckets(20, 80, 0, 0, 3, 0)),
        // Reasoning on top of the completion, as the total shows.
        (r#"{"prompt_tokens":10,"completion_tokens":30,"total_tokens":60,"completion_tokens_details":{"reasoning_tokens":20}}"#, buckets(10, 0, 0, 0, 30, 20)),
        // What is only in the total was output.
        (r#"{"prompt_tokens":10,"completion_tokens":30,"total_tokens":45}"#, buckets(10, 0, 0, 0, 30, 5)),
        (r#"{"prompt_tokens":10,"completion_tokens":30,"total_tokens":45,"completion_tokens_details":{"reasoning_tokens":20}}"#, buckets(10, 0, 0, 0, 10, 25)),
        (r#"{"prompt_tokens":10,"completion_tokens":30,"total_tokens":12}"#, buckets(10, 0, 0, 0, 30, 0)),
        // Parts larger than the whole come on top.
        (r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":11},"completion_tokens_details":{"reasoning_tokens":4}}"#, buckets(10, 11, 0, 0, 3, 4)),
        // Both vendors' words at once.
        (r#"{"prompt_tokens":10,"completion_tokens":3,"input_tokens":0,"output_tokens":0}"#, buckets(10, 0, 0, 0, 3, 0)),
        (r#"{"input_tokens":10,"output_tokens":3,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_1h_input_tokens":5}}"#, buckets(10, 0, 2, 5, 3, 0)),
        // What cannot be is more than any request is bound to.
        (r#"{"prompt_tokens":-9,"completion_tokens":3}"#, buckets(ABSURD, 0, 0, 0, 3, 0)),
        (r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-1}}"#, buckets(10, ABSURD, 0, 0, 3, 0)),
        (r#"{"prompt_tokens":9,"completion_tokens":1000000000000000000}"#, buckets(9, 0, 0, 0, ABSURD, 0)),
        (r#"{"prompt_tokens":9,"completion_tokens":-99999999999999999999999}"#, buckets(9, 0, 0, 0, ABSURD, 0)),
        // No figure to believe.
        (r#"{"prompt_tokens":"9","completion_tokens":3}"#, None),
        (r#"{"prompt_tokens":9.5,"completion_tokens":3}"#, None),
        (r#"{"prompt_tokens":9}"#, None),
        (r#"{}"#, None),
        (r#"[]"#, None),
    ];
    for (raw, wanted) in rows {
        assert_eq!(read(Operation::Chat, raw).usage, wanted, "{raw}");
    }
    let raw = r#"{"prompt_tokens":8,"total_tokens":8}"#;
    assert_eq!(
        read(Operation::Embeddings, raw).usage,
        Some(Usage::new(8, 0))
    );
}

fn cost(usage: &str) -> Option<i64> {
    read(Operation::Chat, usage).cost.map(Money::nanos)
}

#[test]
fn r2_a_reported_cost_is_read_to_the_last_digit_and_rounded_up() {
    #[rustfmt::skip]
    let rows = [
        (r#"{"cost":0.00014}"#, Some(140_000)),
        (r#"{"cost":1.4e-05}"#, Some(14_000)),
        (r#"{"cost":1.4E+1}"#, Some(14_000_000_000)),
        (r#"{"cost":0.0000000001}"#, Some(1)),
        (r#"{"cost":0.1000000000000000055511151231257827}"#, Some(100_000_001)),
        (r#"{"cost":0}"#, Some(0)),
        (r#"{"cost":-0.5}"#, Some(-500_000_000)),
        (r#"{"cost":1e30}"#, Some(i64::MAX)),
        (r#"{"cost":1e-9223372036854775807}"#, Some(1)),
        (r#"{"cost":1e9223372036854775807}"#, Some(i64::MAX)),
        (r#"{"cost":"0.1"}"#, None),
        (r#"{"cost":null}"#, None),
        (r#"{"cost":true}"#, None),
        (r#"{"cost":{"total_cost":0.5}}"#, Some(500_000_000)),
        (r#"{"cost":{}}"#, None),
        (r#"{"cost":0.5,"is_byok":false,"cost_details":{"upstream_inference_cost":9}}"#, Some(500_000_000)),
        (r#"{"cost":0.5,"is_byok":true,"cost_details":{"upstream_inference_cost":0.1}}"#, Some(600_000_000)),
        (r#"{"cost":0.5,"is_byok":true,"cost_details":{"upstream_inference_cost":null}}"#, None),
        (r#"{"cost":0.5,"is_byok":true}"#, None),
        (r#"{"cost":0.5,"cost_details":{"upstream_inference_cost":null}}"#, Some(500_000_000)),
        (r#"{"cost":0.5,"cost_details":[]}"#, Some(500_000_000)),
        (r#"{"cost_in_usd_ticks":37756000}"#, Some(3_775_600)),
        (r#"{"cost_in_usd_ticks":11}"#, Some(2)),
        (r#"{"prompt_tokens":1}"#, None),
    ];
    for (usage, wanted) in rows {
        assert_eq!(cost(usage), wanted, "{usage}");
    }
}

#[test]
fn a_class_is_read_where_it_stands_in_the_usage() {
    let class = |usage| read(Operation::Chat, usage).class;
    assert_eq!(
        class(r#"{"service_tier":"batch"}"#),
        Some(ServiceClass::Batch)
    );
    assert_eq!(
        class(r#"{"service_tier":"fast"}"#),
        Some(ServiceClass::Priority)
    );
    assert_eq!(
        class(r#"{"service_tier":"standard"}"#),
        Some(ServiceClass::Standard)
    );
    assert_eq!(class(r#"{"service_tier":7}"#), None);
}

/// Members that a usage object may have, nested ones too, with any figure.
fn usages() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "promptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "totalTokenCount",
        "cached_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "prompt_cache_hit_tokens",
        "reasoning_tokens",
        "cost",
        "cost_in_usd_ticks",
    ]);
    let figure = prop_oneof![
        (0u64..1_000).prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |n| n.is_finite())
            .prop_map(|n| format!("{n:?}")),
        Just("1e400".to_owned()),
        Just("null".to_owned()),
        Just("\"7\"".to_owned()),
        Just("{}".to_owned()),
    ];
    let members = prop::collection::btree_map(name, figure, 0..10);
    (members.clone(), members).prop_map(|(outer, inner)| {
        let object = |members: std::collections::BTreeMap<&str, String>| {
            let members = members.iter().map(|(name, figure)| format!("\"{name}\":{figure}"));
            members.collect::<Vec<_>>().join(",")
        };
        let (outer, inner) = (object(outer), object(inner));
        let comma = if outer.is_empty() { "" } else { "," };
        format!(r#"{{{outer}{comma}"prompt_tokens_details":{{{inner}}},"completion_tokens_details":{{{inner}}}}}"#)
    })
}

proptest! {
    /// No figure makes a sum overflow, and none is lost: what is told twice is counted at least once.
    #[test]
    fn r2_any_usage_is_read_and_adds_up(usage in usages()) {
        let Told { usage: Some(read), .. } = read(Operation::Chat, &usage) else { return Ok(()) };
        let buckets = [read.input, read.cache_read, read.cache_write_5m, read.cache_write_1h, read.output, read.reasoning];
        prop_assert!(buckets.iter().all(|tokens| *tokens <= 4 * ABSURD), "{read:?}");
        prop_assert_eq!(buckets.iter().sum::<u64>(), read.total_input() + read.total_output());
    }
}
