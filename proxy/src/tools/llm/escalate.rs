//! `escalate`: gives a task that went wrong to a higher tier, with a handoff of what was tried.

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::JsonSchema;
use rungs::{
    Error, ErrorKind,
    catalog::Tier,
    layers::escalate::{Handoff, PreviousAttempt},
    model::chat::instruct,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ask::{Facts, ask, request},
    words::{QualityWord, TierWord, question},
};
use crate::{
    config::AUTO,
    gateway::Gateway,
    http::admission::Wishes,
    tools::{Effect, Spec, Tool, ToolCall, to_value},
};

/// The longest handoff, in bytes.
const HANDOFF_LIMIT: usize = 16 << 10;

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct Input {
    /// What is to be done, with everything that is needed for it.
    task: String,
    /// What has been tried, the latest last.
    attempts: Vec<Attempt>,
    /// How much the answer matters.
    #[serde(default)]
    quality: QualityWord,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct Attempt {
    /// The tier that tried; the lowest that calls start on, unless it is said.
    tier: Option<TierWord>,
    /// What it wrote.
    #[serde(default)]
    text: String,
    /// What is wrong with it.
    #[serde(default)]
    issues: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Output {
    /// The answer of the higher tier.
    text: String,
    #[serde(flatten)]
    facts: Facts,
}

/// The tool.
pub(super) struct EscalateTool {
    gateway: Gateway,
    spec: Spec,
}

impl EscalateTool {
    pub(super) fn new(gateway: Gateway) -> Self {
        let spec = Spec::of::<Input, Output>(
            "escalate",
            "Escalate a task",
            "Gives a task to a stronger model than those that tried it, with what they wrote and what is wrong with it. Use it when \
             there is evidence: a failing test, a wrong result, a refusal.",
            Effect::Read,
        );
        Self { gateway, spec }
    }

    async fn run(&self, mut call: ToolCall) -> Result<Value, Error> {
        let input: Input = call.input()?;
        let lowest = self.gateway.live().config.routing.default_tier;
        let attempts: Vec<PreviousAttempt> = input
            .attempts
            .into_iter()
            .map(|attempt| PreviousAttempt {
                tier: attempt.tier.map_or(lowest, Into::into),
                text: attempt.text,
                issues: attempt.issues,
            })
            .collect();
        let Some(tried) = attempts.iter().map(|attempt| attempt.tier).max() else {
            let why = "`attempts` is empty: there is nothing to climb from; ask `route` first";
            return Err(Error::invalid(why).param("attempts"));
        };
        let wishes = Wishes {
            quality: input.quality.into(),
            min_tier: Some(self.above(tried)?),
            ..Wishes::default()
        };
        let body = question(AUTO, &input.task);
        let mut asked = request(&self.gateway, &call, &body, wishes)?;
        let handoff = Handoff::new(&asked, attempts).render(HANDOFF_LIMIT);
        asked.body = instruct(&asked.body, &handoff)?;
        let answer = ask(&self.gateway, &call, asked).await?;
        to_value(&Output {
            text: answer.text,
            facts: answer.facts,
        })
    }

    /// The next tier up that has models. Whether the caller may reach it is for the admission to say.
    fn above(&self, tried: Tier) -> Result<Tier, Error> {
        let live = self.gateway.live();
        let targets = live.catalog.resolve(AUTO);
        let above = targets.and_then(|targets| targets.tier_above(tried, Tier::MAX));
        above.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no model above {tried}"),
            )
        })
    }
}

impl Tool for EscalateTool {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>> {
        self.run(call).boxed()
    }
}
