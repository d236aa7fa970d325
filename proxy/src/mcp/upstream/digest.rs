use std::fmt;

use rmcp::model::Tool;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a tool tells models of itself, as a hash: two tools with the same one have said the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digest(String);

impl Digest {
    /// That of name, title, description and arguments, as the server sent them. The order of a schema's members does not count.
    pub(super) fn of(tool: &Tool) -> Self {
        let mut hasher = blake3::Hasher::new();
        let texts = [
            Some(&*tool.name),
            tool.title.as_deref(),
            tool.description.as_deref(),
        ];
        for text in texts {
            hash(&text.into(), &mut hasher);
        }
        members(&tool.input_schema, &mut hasher);
        Self(hasher.finalize().to_hex().to_string())
    }
}

/// Its first characters, for people.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// Each value begins with its type and its length, so no two documents are the same bytes.
fn hash(value: &Value, hasher: &mut blake3::Hasher) {
    match value {
        Value::Null => begin(b'n', 0, hasher),
        Value::Bool(yes) => begin(b'b', usize::from(*yes), hasher),
        Value::Number(number) => text(b'i', &number.to_string(), hasher),
        Value::String(string) => text(b's', string, hasher),
        Value::Array(items) => {
            begin(b'a', items.len(), hasher);
            items.iter().for_each(|item| hash(item, hasher));
        }
        Value::Object(map) => members(map, hasher),
    }
}

fn members(map: &serde_json::Map<String, Value>, hasher: &mut blake3::Hasher) {
    let mut sorted: Vec<_> = map.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    begin(b'o', sorted.len(), hasher);
    for (name, value) in sorted {
        text(b's', name, hasher);
        hash(value, hasher);
    }
}

fn text(kind: u8, text: &str, hasher: &mut blake3::Hasher) {
    begin(kind, text.len(), hasher);
    hasher.update(text.as_bytes());
}

fn begin(kind: u8, length: usize, hasher: &mut blake3::Hasher) {
    hasher.update(&[kind]);
    hasher.update(&(length as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json};

    use super::*;

    fn tool(json: &str) -> Digest {
        Digest::of(&from_str(json).unwrap())
    }

    #[test]
    fn every_word_that_a_model_reads_counts_and_their_order_does_not() {
        let schema = r#"{"type":"object","properties":{"a":{"type":"string","maxLength":3}}}"#;
        let base = format!(r#"{{"name":"t","description":"d","inputSchema":{schema}}}"#);
        let same = r#"{"inputSchema":{"properties":{"a":{"maxLength":3,"type":"string"}},"type":"object"},"description":"d","name":"t",
            "annotations":{"readOnlyHint":true}}"#;
        assert_eq!(tool(&base), tool(same));
        for (old, new) in [
            (r#""name":"t""#, r#""name":"u""#),
            (r#""name":"t""#, r#""name":"t","title":"d""#),
            (r#""description":"d""#, r#""description":"D""#),
            (r#""description":"d""#, r#""title":"d""#),
            (r#""maxLength":3"#, r#""maxLength":4"#),
            (r#""maxLength":3"#, r#""maxLength":"3""#),
            (r#""a":"#, r#""b":"#),
        ] {
            assert_ne!(tool(&base), tool(&base.replace(old, new)), "{new}");
        }
    }

    #[test]
    fn it_is_a_string_in_files() {
        let digest = tool(r#"{"name":"t","inputSchema":{}}"#);
        let text = json!(digest);
        assert_eq!(text.as_str().map(str::len), Some(64));
        assert_eq!(serde_json::from_value::<Digest>(text).unwrap(), digest);
    }
}
