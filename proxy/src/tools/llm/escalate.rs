//! `escalate`: gives a task that went wrong to a higher tier, with a handoff of what was tried.

use rmcp::schemars::{self, JsonSchema};
use rungs::{
    Error, ErrorKind,
    catalog::Tier,
    layers::escalate::{Handoff, PreviousAttempt},
    model::{Start, chat::instruct},
};
use serde::Deserialize;

use super::{
    ask::{Asked, ask, request},
    words::{QualityWord, TierWord, question},
};
use crate::{
    config::AUTO,
    gateway::Gateway,
    http::admission::Wishes,
    tools::{Caller, Effect, Origin, Typed, Words},
};

/// The longest handoff, in bytes.
const HANDOFF_LIMIT: usize = 16 << 10;

#[derive(Debug, Deserialize, JsonSchema)]
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

/// The tool.
pub(super) fn tool(gateway: &Gateway) -> Typed {
    let words = Words {
        name: "escalate",
        title: "Escalate a task",
        description: "Gives a task to a stronger model than those that tried it, with what they wrote and what is wrong with it. Use it \
                      when there is evidence: a failing test, a wrong result, a refusal.",
        effect: Effect::Read,
        origin: Origin::Own,
    };
    Typed::new(words, gateway, escalate)
}

async fn escalate(gateway: Gateway, caller: Caller, input: Input) -> Result<Asked, Error> {
    let lowest = gateway.live().config.routing.default_tier;
    let attempts = input.attempts.into_iter();
    let attempts: Vec<PreviousAttempt> = attempts
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
        min_tier: Some(above(&gateway, tried)?),
        ..Wishes::default()
    };
    let body = question(AUTO, &input.task);
    let mut asked = request(&gateway, &caller, &body, wishes)?;
    asked.route.start = Start::Lowest;
    let handoff = Handoff::new(&asked, attempts).render(HANDOFF_LIMIT);
    asked.body = instruct(&asked.body, &handoff)?;
    ask(&gateway, &caller, asked).await
}

/// The next tier up that has models. Whether the caller may reach it is for the admission to say.
fn above(gateway: &Gateway, tried: Tier) -> Result<Tier, Error> {
    let live = gateway.live();
    let targets = live.catalog.resolve(AUTO);
    let above = targets.and_then(|targets| targets.tier_above(tried, Tier::MAX));
    let none = || {
        Error::new(
            ErrorKind::NotFound,
            format!("there is no model above {tried}"),
        )
    };
    above.ok_or_else(none)
}
