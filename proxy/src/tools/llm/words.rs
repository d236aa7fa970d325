//! What the tools' arguments have in common.

use rmcp::schemars::{self, JsonSchema};
use rungs::{catalog::Tier, model::Quality};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::AUTO;

/// A message of a conversation.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    /// Who says it: system, user or assistant.
    role: Role,
    /// What they say.
    content: String,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    User,
    Assistant,
}

/// How much the answer matters.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum QualityWord {
    /// The cheapest tier that can carry it.
    #[default]
    Normal,
    /// Checked by another model where that is configured.
    High,
    /// Checked, and starting one tier up.
    Critical,
}

impl From<QualityWord> for Quality {
    fn from(word: QualityWord) -> Self {
        match word {
            QualityWord::Normal => Self::Normal,
            QualityWord::High => Self::High,
            QualityWord::Critical => Self::Critical,
        }
    }
}

/// A tier, L0 (free or local) to L9.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct TierWord(#[schemars(with = "String", regex(pattern = "^[Ll][0-9]$"))] Tier);

impl From<TierWord> for Tier {
    fn from(word: TierWord) -> Self {
        word.0
    }
}

/// The model that is asked for when none is named.
pub(super) fn auto() -> String {
    AUTO.to_owned()
}

/// The body of a chat request with one question in it.
pub(super) fn question(model: &str, text: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": text }] })
}
