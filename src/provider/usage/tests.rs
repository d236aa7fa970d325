use super::*;

#[test]
fn usage_is_taken_apart_into_disjoint_buckets() {
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
        // Parts larger than the whole.
        (r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":11},"completion_tokens_details":{"reasoning_tokens":4}}"#, buckets(10, 0, 0, 0, 3, 0)),
        (r#"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-1}}"#, buckets(10, 0, 0, 0, 3, 0)),
        // No figure to believe.
        (r#"{"prompt_tokens":-9,"completion_tokens":3}"#, None),
        (r#"{"prompt_tokens":9,"completion_tokens":1000000000000000000}"#, None),
        (r#"{"prompt_tokens":9,"completion_tokens":99999999999999999999999}"#, None),
        (r#"{"prompt_tokens":"9","completion_tokens":3}"#, None),
        (r#"{"prompt_tokens":9.5,"completion_tokens":3}"#, None),
        (r#"{"prompt_tokens":9}"#, None),
        (r#"{}"#, None),
        (r#"[]"#, None),
    ];
    for (raw, wanted) in rows {
        let raw: &RawValue = serde_json::from_str(raw).unwrap();
        assert_eq!(read(Operation::Chat, raw).usage, wanted, "{raw}");
    }
    let raw: &RawValue = serde_json::from_str(r#"{"prompt_tokens":8,"total_tokens":8}"#).unwrap();
    assert_eq!(
        read(Operation::Embeddings, raw).usage,
        Some(Usage::new(8, 0))
    );
}
