//! A question to the gateway's models, under the caller's key and budgets.

use std::time::Duration;

use rmcp::schemars::{self, JsonSchema};
use rungs::{
    Error,
    http::Admitted,
    json::RawObject,
    model::{
        CallContext, Collected, ModelRequest, ModelResponse, ResponseMeta, Step, Usage,
        chat::Answer,
    },
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use tower::ServiceExt;

use crate::{
    gateway::Gateway,
    http::admission::{Wishes, admit},
    tools::{Caller, Progress},
};

/// The largest answer that is read into memory, in bytes.
pub(super) const ANSWER_LIMIT: usize = 8 << 20;

/// How often a caller who waits hears how it stands.
const TICK: Duration = Duration::from_secs(1);

/// A request that may be sent, with what it may do.
pub(super) fn request(
    gateway: &Gateway,
    caller: &Caller,
    body: &Value,
    wishes: Wishes,
) -> Result<ModelRequest, Error> {
    let body = RawObject::from_serialize(body)?;
    let model: String = body.get_as("model")?.unwrap_or_default();
    let Admitted { ctx, route, cache } = admit(&gateway.live(), &caller.principal, &model, wishes)?;
    let mut request = ModelRequest::chat(body, ctx).route(route);
    request.cache = cache;
    Ok(request)
}

/// An answer with what is known of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Asked {
    /// The answer.
    pub(super) text: String,
    #[serde(flatten)]
    pub(super) facts: Facts,
}

/// Asks the gateway's call ring.
pub(super) async fn ask(
    gateway: &Gateway,
    caller: &Caller,
    request: ModelRequest,
) -> Result<Asked, Error> {
    let ctx = request.ctx.clone();
    let asking = async {
        let ModelResponse { meta, body } = gateway.ring().oneshot(request).await?;
        Ok((meta, body.collect(ANSWER_LIMIT).await?))
    };
    let (meta, collected) = watched(asking, &ctx, &caller.progress).await?;
    answered(&ctx, &meta, &collected)
}

/// Reads an answer that was collected.
pub(super) fn answered(
    ctx: &CallContext,
    meta: &ResponseMeta,
    collected: &Collected,
) -> Result<Asked, Error> {
    let answer = Answer::parse(&collected.to_whole()?)?;
    Ok(Asked {
        text: answer.refusal.unwrap_or(answer.text),
        facts: Facts::of(ctx, meta, collected.end.usage.unwrap_or_default()),
    })
}

/// Runs `asking`; a caller who listens is told once a second how long it has taken and who is asked.
pub(super) async fn watched<T>(
    asking: impl Future<Output = Result<T, Error>>,
    ctx: &CallContext,
    progress: &Progress,
) -> Result<T, Error> {
    if !progress.is_heard() {
        return asking.await;
    }
    progress.say(0.0, None, "asking");
    let mut asking = std::pin::pin!(asking);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            biased;
            answer = &mut asking => return answer,
            _ = ticks.tick() => {
                let waited = ctx.started().elapsed().as_secs_f64();
                progress.say(waited, None, &standing(ctx));
            }
        }
    }
}

fn standing(ctx: &CallContext) -> String {
    let attempts = ctx.attempts();
    let last = ctx.steps().pop().map(|step| step_line(&step));
    match last {
        Some(last) => format!("attempt {attempts}; {last}"),
        None => format!("attempt {attempts}"),
    }
}

/// What is known of an answer beside its text.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Facts {
    /// Who answered.
    model: Option<String>,
    /// At which provider.
    provider: Option<String>,
    /// On which tier, L0 to L9.
    tier: Option<String>,
    /// How many attempts there were, retries, climbs and reviewers together.
    attempts: u32,
    /// What all of them cost, in dollars, as an exact decimal.
    cost_usd: String,
    /// Whether the cache had the answer: off, miss, hit or shared.
    cache: String,
    /// Tokens of the prompt.
    input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    output_tokens: u64,
    /// What should be known, such as a climb that the budget did not allow.
    notes: Vec<String>,
    /// What happened on the way, in order.
    steps: Vec<String>,
}

impl Facts {
    fn of(ctx: &CallContext, meta: &ResponseMeta, usage: Usage) -> Self {
        let deployment = meta.deployment.as_ref();
        Self {
            model: deployment.map(|d| d.model.to_string()),
            provider: deployment.map(|d| d.provider.to_string()),
            tier: deployment.map(|d| d.tier.to_string()),
            attempts: ctx.attempts(),
            cost_usd: ctx.spent().to_string(),
            cache: meta.cache.as_str().to_owned(),
            input_tokens: usage.total_input(),
            output_tokens: usage.total_output(),
            notes: meta.notes.iter().map(ToString::to_string).collect(),
            steps: ctx.steps().iter().map(step_line).collect(),
        }
    }
}

fn step_line(step: &Step) -> String {
    match (&step.tier, &step.deployment) {
        (Some(tier), Some(deployment)) => format!("{tier} {deployment}: {}", step.what),
        _ => step.what.to_string(),
    }
}
