use std::collections::BTreeSet;

use proptest::prelude::*;
use rmcp::model::Tool;

use super::*;
use crate::mcp::upstream::listing::Listing;

/// What is mounted of these tools, given as JSON, under the name `s`.
fn listing(tools: &[Value], more: &str) -> Listing {
    let config = configured(&format!(
        "[[mcp]]\nname = \"s\"\nurl = \"https://mcp.example/\"\n{more}\n"
    ));
    let tools = tools
        .iter()
        .map(|tool| serde_json::from_value(tool.clone()).unwrap());
    Listing::of(&config[0], tools.collect::<Vec<Tool>>())
}

fn why(tool: Value) -> &'static str {
    let listing = listing(&[tool], "");
    assert!(listing.tools.is_empty());
    listing.refused[0].why
}

#[test]
fn t25_hidden_words_are_taken_out_of_all_texts() {
    let hidden = "Adds.\u{e0049}\u{e0047}\u{202e}\u{1b}[8m";
    let tool = json!({ "name": "add", "title": hidden, "description": hidden, "inputSchema": {
        "type": "object", "description": hidden, "properties": { "a": { "enum": [hidden] } } } });
    let listing = listing(&[tool], "");
    let spec = &listing.tools[0].spec;
    let seen = "Adds.[8m";
    assert_eq!((&*spec.title, &*spec.description), (seen, seen));
    assert_eq!(*spec.input, *json!({ "type": "object", "description": seen, "properties": { "a": { "enum": [seen] } } }).as_object().unwrap());
}

#[test]
fn what_does_not_fit_is_refused_and_says_why() {
    let object = json!({ "type": "object" });
    let tool = |name: &str, schema: &Value| json!({ "name": name, "inputSchema": schema });
    assert!(why(tool(&"x".repeat(62), &object)).contains("more than 64 characters"));
    assert!(why(tool("a.b", &object)).contains("other characters"));
    assert!(why(tool("a", &json!({ "type": "string" }))).contains("no object"));
    assert!(
        why(tool(
            "a",
            &json!({ "type": "object", "properties": { "\u{200b}a": {} } })
        ))
        .contains("invisible")
    );
    assert!(
        why(tool(
            "a",
            &json!({ "type": "object", "description": "x".repeat(70_000) })
        ))
        .contains("64 KiB")
    );
    assert_eq!(
        listing(&[tool(&"x".repeat(61), &object)], "").tools.len(),
        1
    );
}

#[test]
fn only_what_is_named_is_mounted_and_what_is_missing_is_told() {
    let tools = ["a", "b"].map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }));
    let listing = listing(&tools, "tools = [\"b\", \"c\"]");
    assert_eq!(
        listing
            .tools
            .iter()
            .map(|tool| &*tool.name)
            .collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(listing.refused[0].name, "c");
}

#[test]
fn a_long_description_is_cut() {
    let tool = json!({ "name": "a", "description": "ä".repeat(10_000), "inputSchema": { "type": "object" } });
    assert_eq!(
        listing(&[tool], "").tools[0]
            .spec
            .description
            .chars()
            .count(),
        (8 << 10) + 1
    );
}

proptest! {
    #[test]
    fn mounted_names_are_plain_and_unique(names in prop::collection::vec("[a-b_.\\PC]{0,3}|[a-z]{58,64}", 0..8)) {
        let tools: Vec<Value> = names.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect();
        let listing = listing(&tools, "");
        let mounted: BTreeSet<&str> = listing.tools.iter().map(|tool| &*tool.spec.name).collect();
        prop_assert_eq!(mounted.len(), listing.tools.len());
        for name in mounted {
            prop_assert!(name.len() <= 64 && name.starts_with("s__"));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }
    }
}
