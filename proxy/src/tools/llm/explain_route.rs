//! `explain_route`: who would be asked, and why, without asking anybody.

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
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
    tools::{Effect, Spec, Tool, ToolCall, to_value},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
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
#[schemars(crate = "rmcp::schemars")]
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
#[schemars(crate = "rmcp::schemars")]
struct Candidate {
    /// The model at its provider.
    deployment: String,
    /// Its tier.
    tier: String,
    /// Whether it only stands in for what was asked for.
    fallback: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Skipped {
    /// The model at its provider.
    deployment: String,
    /// Why it would not be asked.
    why: String,
}

/// The tool.
pub(super) struct ExplainRoute {
    gateway: Gateway,
    spec: Spec,
}

impl ExplainRoute {
    pub(super) fn new(gateway: Gateway) -> Self {
        let spec = Spec::of::<Input, Output>(
            "explain_route",
            "Explain a route",
            "Says which models a question would go to, in which order, and which would be left out and why. Asks nobody and costs \
             nothing.",
            Effect::Read,
        );
        Self { gateway, spec }
    }

    fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        let wishes = Wishes {
            quality: input.quality.into(),
            min_tier: input.min_tier.map(Into::into),
            max_tier: input.max_tier.map(Into::into),
            ..Wishes::default()
        };
        let body = question(&input.model, &input.message);
        let asked = request(&self.gateway, &call, &body, wishes)?;
        to_value(&Output::of(&self.gateway.live().route.decide(&asked)))
    }
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

impl Tool for ExplainRoute {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        std::future::ready(self.run(call)).boxed()
    }
}
