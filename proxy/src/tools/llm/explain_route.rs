//! `explain_route`: who would be asked, and why, without asking anybody.

use rmcp::schemars::{self, JsonSchema};
use rungs::{Error, route::Decision};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ask::request,
    words::{QualityWord, TierWord, auto, question},
};
use crate::{
    gateway::Gateway,
    http::admission::Wishes,
    tools::{Caller, Effect, Origin, Typed, Words},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The question or task.
    message: String,
    /// The model that would be asked for.
    #[serde(default = "auto")]
    model: String,
    /// How much the answer would matter.
    #[serde(default)]
    quality: QualityWord,
    /// No answer from below this tier.
    min_tier: Option<TierWord>,
    /// No answer from above it.
    max_tier: Option<TierWord>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// What kind of task it was taken for.
    task: String,
    /// How hard it looks.
    complexity: String,
    /// The tier that it starts on.
    start: String,
    /// Who would be asked, in this order, until one answers.
    candidates: Vec<Candidate>,
    /// Who would not, and why.
    skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Candidate {
    /// The model at its provider.
    deployment: String,
    /// Its tier.
    tier: String,
    /// Whether it only stands in for what was asked for.
    fallback: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Skipped {
    /// The model at its provider.
    deployment: String,
    /// Why it would not be asked.
    why: String,
}

/// The tool.
pub(super) fn tool(gateway: &Gateway) -> Typed {
    let words = Words {
        name: "explain_route",
        title: "Explain a route",
        description: "Says which models a question would go to, in which order, and which would be left out and why. Asks nobody and costs \
                      nothing.",
        effect: Effect::Read,
        origin: Origin::Own,
    };
    Typed::new(words, gateway, explain)
}

async fn explain(gateway: Gateway, caller: Caller, input: Input) -> Result<Output, Error> {
    let wishes = Wishes {
        quality: input.quality.into(),
        min_tier: input.min_tier.map(Into::into),
        max_tier: input.max_tier.map(Into::into),
        ..Wishes::default()
    };
    let body = question(&input.model, &input.message);
    let asked = request(&gateway, &caller, &body, wishes)?;
    Ok(Output::of(&gateway.live().route.decide(&asked)))
}

impl Output {
    fn of(decision: &Decision) -> Self {
        let word = |value: Value| value.as_str().unwrap_or("unknown").to_owned();
        let candidates = decision.candidates.iter().map(|candidate| Candidate {
            deployment: candidate.deployment.id.to_string(),
            tier: candidate.deployment.tier.to_string(),
            fallback: candidate.fallback,
        });
        let skipped = decision.skipped.iter().map(|(id, why)| Skipped {
            deployment: id.to_string(),
            why: why.to_string(),
        });
        Self {
            task: word(json!(decision.class.task)),
            complexity: word(json!(decision.class.complexity)),
            start: decision.start.to_string(),
            candidates: candidates.collect(),
            skipped: skipped.collect(),
        }
    }
}
