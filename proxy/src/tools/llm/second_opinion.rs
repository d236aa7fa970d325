//! `second_opinion`: lets other models review an answer that the caller already has.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use rmcp::schemars::{self, JsonSchema};
use rungs::{
    Error,
    catalog::{Deployment, Tier},
    layers::cross_check::When,
    model::{Agreement, End, FinishReason, ModelBody, ModelRequest, ModelResponse, ResponseMeta},
    swap::Swap,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower::{Layer, Service, ServiceExt};

use super::{
    ask::{ANSWER_LIMIT, answered, request, watched},
    words::{TierWord, question},
};
use crate::{
    config::AUTO,
    gateway::Gateway,
    http::admission::Wishes,
    stack::cross_check,
    tools::{Caller, Effect, Origin, Typed, Words},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// What was asked, with everything that is needed to judge the answer.
    question: String,
    /// The answer to be reviewed.
    answer: String,
    /// How many other models review it.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 3))]
    reviewers: usize,
    /// The tier of whoever gave the answer: reviewers are of this tier or near it.
    tier: Option<TierWord>,
}

fn one() -> usize {
    1
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Whether the reviewers agree with the answer: agree, differ, or unchecked if none gave a usable review.
    verdict: String,
    /// How sure they are, in percent.
    confidence: u8,
    /// What they object to.
    issues: Vec<String>,
    /// Who reviewed, the arbiter last if one was asked.
    reviewers: Vec<String>,
    /// The arbiter's own answer, where the reviewers differ.
    better_answer: Option<String>,
    /// What the reviews cost, in dollars.
    cost_usd: String,
    /// What should be known, such as why there was no review.
    notes: Vec<String>,
}

/// The tool.
pub(super) fn tool(gateway: &Gateway) -> Typed {
    let words = Words {
        name: "second_opinion",
        title: "Second opinion",
        description: "Lets other models review an answer that you already have. Where they differ, another one arbitrates and gives an \
                      answer of its own.",
        effect: Effect::Read,
        origin: Origin::Own,
    };
    Typed::new(words, gateway, review)
}

async fn review(gateway: Gateway, caller: Caller, input: Input) -> Result<Output, Error> {
    if !(1..=3).contains(&input.reviewers) {
        return Err(Error::invalid("`reviewers` is 1 to 3").param("reviewers"));
    }
    let body = question(AUTO, &input.question);
    let asked = request(&gateway, &caller, &body, Wishes::default())?;
    let ctx = asked.ctx.clone();
    let lowest = gateway.live().config.routing.default_tier;
    let tier = input.tier.map_or(lowest, Into::into);
    let given = Given::new(&input.answer, tier, gateway.ring())?;
    let check = cross_check(When::Always)
        .reviewers(input.reviewers)
        .layer(given);
    let checking = async {
        let ModelResponse { meta, body } = check.oneshot(asked).await?;
        Ok((meta, body.collect(ANSWER_LIMIT).await?))
    };
    let (meta, collected) = watched(checking, &ctx, &caller.progress).await?;
    let text = answered(&ctx, &meta, &collected)?.text;
    Ok(Output::of(meta, text, ctx.spent().to_string()))
}

impl Output {
    fn of(meta: ResponseMeta, text: String, cost_usd: String) -> Self {
        let arbitrated = meta.deployment.is_some_and(|d| *d.provider != *CALLER);
        let (verdict, confidence, issues, reviewers) = match meta.verdict {
            None => ("unchecked", 0, Vec::new(), Vec::new()),
            Some(verdict) => {
                let (word, issues) = match verdict.agreement {
                    Agreement::Agree => ("agree", Vec::new()),
                    Agreement::Differ(issues) => ("differ", issues),
                    Agreement::Unchecked => ("unchecked", Vec::new()),
                };
                (word, verdict.confidence, issues, verdict.reviewers)
            }
        };
        Self {
            verdict: verdict.to_owned(),
            confidence,
            issues,
            reviewers: reviewers.iter().map(ToString::to_string).collect(),
            better_answer: arbitrated.then_some(text),
            cost_usd,
            notes: meta.notes.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The provider of an answer that came with the question.
const CALLER: &str = "caller";

/// Answers the first request with what it was given, and lets the gateway answer all others: the review layer takes the first answer
/// as the one to be reviewed.
#[derive(Clone)]
struct Given {
    answer: Arc<Mutex<Option<ModelResponse>>>,
    ring: Swap,
}

impl Given {
    fn new(text: &str, tier: Tier, ring: Swap) -> Result<Self, Error> {
        let whole = json!({
            "object": "chat.completion",
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": text },
                "finish_reason": "stop",
            }],
        });
        let end = End {
            finish: Some(FinishReason::Stop),
            ..End::default()
        };
        let answer = ModelResponse {
            meta: ResponseMeta {
                deployment: Some(Arc::new(Deployment::new(CALLER, "answer").tier(tier))),
                ..ResponseMeta::default()
            },
            body: ModelBody::whole(whole.to_string().into(), end),
        };
        Ok(Self {
            answer: Arc::new(Mutex::new(Some(answer))),
            ring,
        })
    }
}

impl Service<ModelRequest> for Given {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let given = self
            .answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match given {
            Some(answer) => std::future::ready(Ok(answer)).boxed(),
            None => self.ring.clone().oneshot(request).boxed(),
        }
    }
}
