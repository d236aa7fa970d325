//! `estimate_cost`: what a call would cost, at each model that might answer it.

use rmcp::schemars::{self, JsonSchema};
use rungs::{
    Error,
    catalog::{Deployment, Money, ServiceClass},
    model::{ModelRequest, TokenBound},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    ask::request,
    words::{QualityWord, auto, question},
};
use crate::{
    gateway::Gateway,
    http::admission::Wishes,
    tools::{Caller, Effect, Origin, Typed, Words},
};

/// Bytes of a token in ordinary text, for what is likely; what is reserved counts a token per byte.
const BYTES_PER_TOKEN: u64 = 4;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The whole prompt.
    prompt: String,
    /// The model that would be asked for.
    #[serde(default = "auto")]
    model: String,
    /// How much the answer would matter.
    #[serde(default)]
    quality: QualityWord,
    /// The most tokens of the answer, as the call would say it.
    max_tokens: Option<u32>,
    /// How many tokens the answer will probably have; a quarter of the prompt's unless it is said.
    expected_output_tokens: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The prompt's tokens, roughly.
    input_tokens: u64,
    /// The answer's tokens, roughly.
    output_tokens: u64,
    /// What it costs at those who would be asked, the first one first.
    candidates: Vec<Estimate>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Estimate {
    /// The model at its provider.
    deployment: String,
    /// Its tier.
    tier: String,
    /// Dollars for so many tokens; null if the price is not known.
    likely_usd: Option<String>,
    /// The most it can cost, which is what budgets reserve; null if nothing bounds it.
    most_usd: Option<String>,
}

/// The tool.
pub(super) fn tool(gateway: &Gateway) -> Typed {
    let words = Words {
        name: "estimate_cost",
        title: "Estimate a cost",
        description: "Says what a prompt would cost at each model that might answer it: what is likely, and the most that a budget would \
                      reserve. Asks nobody and costs nothing.",
        effect: Effect::Read,
        origin: Origin::Own,
    };
    Typed::new(words, gateway, estimate)
}

async fn estimate(gateway: Gateway, caller: Caller, input: Input) -> Result<Output, Error> {
    let mut body = question(&input.model, &input.prompt);
    if let Some(limit) = input.max_tokens {
        body["max_tokens"] = json!(limit);
    }
    let wishes = Wishes {
        quality: input.quality.into(),
        ..Wishes::default()
    };
    let asked = request(&gateway, &caller, &body, wishes)?;
    let tokens = (input.prompt.len() as u64).div_ceil(BYTES_PER_TOKEN);
    let output = input.expected_output_tokens.map_or(tokens / 4, u64::from);
    let output = input
        .max_tokens
        .map_or(output, |most| output.min(most.into()));
    let decision = gateway.live().route.decide(&asked);
    let deployments = decision.candidates.iter().map(|c| &*c.deployment);
    Ok(Output {
        input_tokens: tokens,
        output_tokens: output,
        candidates: deployments
            .map(|deployment| Estimate::of(&asked, deployment, tokens, output))
            .collect(),
    })
}

impl Estimate {
    fn of(request: &ModelRequest, deployment: &Deployment, input: u64, output: u64) -> Self {
        let usd = |money: Money| money.to_string();
        let price = deployment.price_for(ServiceClass::Standard);
        let bound = TokenBound::of(request, deployment).ok();
        Self {
            deployment: deployment.id.to_string(),
            tier: deployment.tier.to_string(),
            likely_usd: price.map(|price| usd(price.worst_case(input, output))),
            most_usd: bound.and_then(|bound| bound.cost(deployment)).map(usd),
        }
    }
}
