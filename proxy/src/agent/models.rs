use std::{sync::Arc, time::Duration};

use rungs::{
    Error,
    catalog::{Deployment, DeploymentId, Money, Targets, Tier},
    json::RawObject,
    layers::escalate::{Judge, Judgement, StandardJudge},
    model::{
        CacheUse, CallContext, FinishReason, ModelRequest, ModelResponse, Quality, TokenBound,
        Usage, chat::Answer,
    },
};
use serde_json::json;
use tokio::time::timeout_at;
use tower::ServiceExt;

use super::{
    climb::Evidence,
    job::Job,
    map::BYTES_PER_TOKEN,
    purse::{Purse, Stop},
};
use crate::{
    auth::Principal,
    gateway::Gateway,
    http::admission::{Fallback, Wishes, admit},
};

/// The largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 4 << 20;

/// How often one question is put where an attempt fails in a way that may pass.
const PUT: u32 = 2;

/// The longest pause before it is put again.
const PAUSE: Duration = Duration::from_secs(5);

/// The models that a job may ask, as its caller may ask them: with the caller's key, tiers and budgets.
pub(super) struct Models<'a> {
    gateway: &'a Gateway,
    principal: &'a Principal,
    job: &'a Job,
    targets: Targets,
    tiers: Vec<Tier>,
}

/// A question to one tier.
pub(super) struct Question<'a> {
    pub(super) tier: Tier,
    pub(super) system: &'a str,
    pub(super) user: String,
    /// The longest answer, in tokens.
    pub(super) output: u64,
    /// Who shall not answer.
    pub(super) not: Option<&'a DeploymentId>,
}

/// An answer.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) by: Option<Arc<Deployment>>,
    pub(super) usage: Usage,
    /// What is wrong with it at first sight.
    pub(super) evidence: Option<Evidence>,
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// A limit of the job is reached.
    Stop(Stop),
    /// Nobody will answer: the caller's budget is spent, say.
    Never(Error),
}

impl<'a> Models<'a> {
    /// # Errors
    /// When the caller may not ask for the job's model or tier, or there is nobody to ask.
    pub(super) fn new(
        gateway: &'a Gateway,
        principal: &'a Principal,
        job: &'a Job,
    ) -> Result<Self, Error> {
        let mut models = Self {
            gateway,
            principal,
            job,
            targets: Targets::default(),
            tiers: Vec::new(),
        };
        let hint = models.admitted()?.1;
        let tiers = hint.targets.tiers();
        models.tiers = tiers
            .filter(|t| (hint.min_tier..=hint.max_tier).contains(t))
            .collect();
        models.targets = hint.targets;
        match models.tiers.is_empty() {
            true => Err(Error::invalid(format!(
                "no model of `{}` is between {} and {}; see `routing` in the configuration",
                job.model, hint.min_tier, hint.max_tier
            ))),
            false => Ok(models),
        }
    }

    /// The tiers that may be asked, lowest first.
    pub(super) fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// The highest of them.
    pub(super) fn top(&self) -> Tier {
        self.tiers.last().copied().unwrap_or_default()
    }

    /// How many bytes a prompt to `tier` may have, beside an answer of `output` tokens.
    pub(super) fn room(&self, tier: Tier, output: u64) -> usize {
        const MOST: u64 = 32_000;
        const UNKNOWN: u64 = 16_000;
        let windows = on(&self.targets, tier)
            .map(|d| d.context_window.unwrap_or(UNKNOWN))
            .min();
        let tokens = windows.unwrap_or(UNKNOWN).saturating_sub(output).min(MOST);
        // A quarter stays free: code has more tokens than prose of its length.
        usize::try_from(tokens).unwrap_or_default() * BYTES_PER_TOKEN * 3 / 4
    }

    /// Asks one tier. Each attempt is a call of its own: it is in the ledger, and is begun only if the purse has room for the most
    /// that it can cost. `last` is the id of the last call that was begun.
    pub(super) async fn ask(
        &self,
        question: &Question<'_>,
        purse: &mut Purse,
        last: &mut Option<Arc<str>>,
    ) -> Result<Said, Unanswered> {
        let mut put = 0;
        loop {
            put += 1;
            let (request, worst) = self.request(question).map_err(Unanswered::Never)?;
            purse.begin(worst).map_err(Unanswered::Stop)?;
            *last = Some(Arc::clone(&request.ctx.id));
            let answer = {
                let deadline = purse.deadline();
                let _paying = purse.paying(request.ctx.clone());
                timeout_at(deadline, Box::pin(self.call(request.clone()))).await
            };
            let error = match answer {
                Err(_) => return Err(Unanswered::Stop(Stop::Deadline)),
                Ok(Ok(said)) => return Ok(said),
                Ok(Err(error)) => error,
            };
            match StandardJudge::new().failed(&request, &error) {
                Judgement::Accept => return Err(Unanswered::Never(error)),
                Judgement::Climb(_) if put < PUT && error.retry() == rungs::Retry::Same => {
                    let pause = error.get_retry_after().unwrap_or(PAUSE / 10).min(PAUSE);
                    tokio::time::sleep(pause).await;
                }
                Judgement::Climb(evidence) => {
                    return Ok(Said {
                        text: String::new(),
                        by: None,
                        usage: Usage::default(),
                        evidence: evidence.into_iter().next().map(Evidence::Answer),
                    });
                }
            }
        }
    }

    /// The request, and the most that it can cost.
    fn request(&self, question: &Question<'_>) -> Result<(ModelRequest, Money), Error> {
        let (ctx, mut route) = self.admitted()?;
        (route.min_tier, route.max_tier) = (question.tier, question.tier);
        route.exclude.extend(question.not.cloned());
        // Those that there are now: a reload may have changed what they take since the job began.
        let asked: Vec<_> = on(&route.targets, question.tier).cloned().collect();
        let own = asked.iter().filter_map(|d| d.longest_answer()).min();
        let output = own.map_or(question.output, |own| own.min(question.output));
        let body = RawObject::from_serialize(&json!({
            "model": self.job.model,
            "messages": [
                { "role": "system", "content": question.system },
                { "role": "user", "content": question.user },
            ],
            "max_completion_tokens": output,
        }))?;
        // Who asks again wants another answer than the one that did not do.
        let request = ModelRequest::chat(body, ctx)
            .route(route)
            .cache(CacheUse::Bypass);
        let mut worst = Money::ZERO;
        for deployment in &asked {
            // One without a price is refused, or let through, by whoever keeps the budgets.
            let cost = TokenBound::of(&request, deployment)?.cost(deployment);
            worst = worst.max(cost.unwrap_or_default());
        }
        Ok((request, worst))
    }

    async fn call(&self, request: ModelRequest) -> Result<Said, Error> {
        let ModelResponse { meta, body } = self.gateway.ring().oneshot(request.clone()).await?;
        let collected = body.collect(ANSWER_LIMIT).await?;
        let answer = Answer::parse(&collected.to_whole()?)?;
        let found = StandardJudge::new()
            .judge(&request, &answer)
            .into_evidence();
        let evidence = match answer.finish {
            Some(FinishReason::Length) => Some(Evidence::CutOff),
            _ => found.into_iter().next().map(Evidence::Answer),
        };
        Ok(Said {
            text: answer.text,
            by: meta.deployment,
            usage: collected.end.usage.unwrap_or_default(),
            evidence,
        })
    }

    /// A call of the caller's, and where it may go.
    fn admitted(&self) -> Result<(CallContext, rungs::model::RouteHint), Error> {
        let wishes = Wishes {
            quality: Quality::Normal,
            max_tier: self.job.max_tier,
            user: self.job.user.clone(),
            // The job asks this tier and pays for one attempt: what comes of it decides what is asked next.
            fallback: Fallback::Off,
            max_attempts: Some(1),
            ..Wishes::default()
        };
        let admitted = admit(
            &self.gateway.live(),
            self.principal,
            &self.job.model,
            wishes,
        )?;
        Ok((admitted.ctx, admitted.route))
    }
}

/// The `targets` that are asked on `tier`.
fn on(targets: &Targets, tier: Tier) -> impl Iterator<Item = &Arc<Deployment>> {
    targets.first().iter().filter(move |d| d.tier == tier)
}
