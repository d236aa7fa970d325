use super::*;

const LIST: &str = r#"{
    "note": "From somebody (2026-11). USD per million tokens.",
    "models": {
        "plain": { "provider": "openai", "mode": "chat", "usd_per_million": {
            "input": "0.15", "output": "0.60", "cache_read": "0.075",
            "input_batches": "0.075", "output_batches": "0.3", "input_priority": "0.25", "output_priority": "1" },
            "context_window": 128000, "max_output": 16384 },
        "long": { "provider": "openai", "mode": "responses", "usd_per_million": {
            "input": "1", "output": "2", "input_above_272k": "2", "output_above_272k": "3",
            "input_flex": "0.5", "output_flex": "1", "input_above_272k_flex": "1", "output_above_272k_flex": "1.5",
            "input_priority": "2", "output_priority": "4" } },
        "mistral/embed": { "provider": "mistral", "mode": "embedding", "usd_per_million": { "input": "0.1" }, "context_window": 8192 },
        "thinks": { "provider": "gemini", "mode": "chat", "usd_per_million": { "input": "1", "output": "2", "reasoning": "3" } },
        "twice": { "provider": "gemini", "mode": "chat", "usd_per_million": { "input": "9", "output": "9" } },
        "gemini/twice": { "provider": "gemini", "mode": "chat", "usd_per_million": { "input": "1", "output": "1", "reasoning": "1" } },
        "gemini/song": { "provider": "gemini", "mode": "chat", "usd_per_million": { "input": "0", "output": "0" }, "max_output": 5 },
        "gone": { "provider": "openai", "mode": "chat", "usd_per_million": { "input": "1", "output": "1" }, "deprecated": "2026-10-31" },
        "going": { "provider": "openai", "mode": "chat", "usd_per_million": { "input": "1", "output": "1" }, "deprecated": "2026-11-30" },
        "ranks": { "provider": "cohere", "mode": "rerank", "usd_per_million": { "input": "1", "output": "1" } },
        "half": { "provider": "openai", "mode": "chat", "usd_per_million": { "input": "1" } },
        "azure/eu/plain": { "provider": "azure", "mode": "chat", "usd_per_million": { "input": "1", "output": "1" } }
    }
}"#;

fn all() -> Rows {
    let list: List = serde_json::from_str(LIST).expect("a list");
    assert_eq!(
        (list.date().ok(), list.source()),
        (Some("2026-11"), "From somebody (2026-11)")
    );
    rows(&list, "2026-11").expect("rows")
}

#[test]
fn a_row_says_what_the_list_says() {
    let rows = all();
    let row = |provider, model: &str| rows[provider].get(model).map(String::as_str);
    assert_eq!(
        row("openai", "plain"),
        Some(concat!(
            r#"{ price = { input = "0.15", output = "0.6", cache_read = "0.075", "#,
            r#"batch = { input = "0.075", output = "0.3", cache_read = "0.075" }, "#,
            r#"priority = { input = "0.25", output = "1" } }, context_window = 128000, max_output = 16384 }"#,
        ))
    );
    assert_eq!(
        row("openai", "long"),
        Some(concat!(
            r#"{ price = { input = "1", output = "2", above = { tokens = 272000, input = "2", output = "3" }, flex = "0.5", "#,
            r#"priority = { input = "2", output = "4", above = { tokens = 272000, input = "2", output = "3" } } } }"#,
        ))
    );
    assert_eq!(
        row("mistral", "embed"),
        Some(r#"{ price = { input = "0.1", output = "0" }, context_window = 8192 }"#)
    );
    assert_eq!(
        row("gemini", "thinks"),
        Some(r#"{ price = { input = "1", output = "2", reasoning = "3" } }"#)
    );
    assert_eq!(
        row("gemini", "twice"),
        Some(r#"{ price = { input = "1", output = "1" } }"#)
    );
    assert_eq!(row("gemini", "song"), Some("{ max_output = 5 }"));
}

#[test]
fn what_cannot_be_asked_or_priced_is_left_out() {
    let rows = all();
    let openai: Vec<_> = rows["openai"].keys().collect();
    assert_eq!(openai, ["going", "long", "plain"]);
    assert_eq!(
        rows.keys().copied().collect::<Vec<_>>(),
        ["gemini", "mistral", "openai"]
    );
}

#[test]
fn the_version_changes_with_any_price() {
    let before = version("2026-11", &all());
    assert_eq!(before, version("2026-11", &all()));
    assert!(before.starts_with("2026-11-") && before.len() == 16);
    let mut rows = all();
    rows.entry("openai")
        .or_default()
        .insert("plain".into(), "{}".into());
    assert_ne!(version("2026-11", &rows), before);
}

#[test]
fn what_is_no_price_is_an_error() {
    for wrong in ["", "-1", "1e3", "0.0000000001", ".5"] {
        let list = LIST.replace("\"0.15\"", &format!("\"{wrong}\""));
        assert!(serde_json::from_str::<List>(&list).is_err(), "{wrong}");
    }
}
