use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;

use super::{CrossCheckConfig, flaw::Flaws, prompt, review::Review, voices};
use crate::{
    catalog::{Deployment, DeploymentId, Tier},
    error::{Error, ErrorKind},
    json::RawObject,
    model::{
        Agreement, CheckUse, Collected, ModelRequest, ModelResponse, ModelService, ResponseMeta,
        RouteHint, Step, Verdict, chat::Answer, media,
    },
};

/// The longest review that is read, in bytes.
const REVIEW_LIMIT: usize = 1 << 20;

/// One cross-checked call.
pub(super) struct Check<S> {
    inner: S,
    request: ModelRequest,
    config: CrossCheckConfig,
    flaws: Flaws,
}

struct Voice {
    who: Option<(DeploymentId, Tier)>,
    review: Review,
}

/// What the check has found.
struct Finding {
    agreement: Agreement,
    confidence: u8,
    reviewers: Vec<DeploymentId>,
    note: Option<String>,
    /// The arbiter's answer.
    better: Option<(ResponseMeta, Collected)>,
}

impl Finding {
    fn unchecked(why: &str) -> Self {
        Self {
            agreement: Agreement::Unchecked,
            confidence: 0,
            reviewers: Vec::new(),
            note: Some(format!("not cross-checked: {why}")),
            better: None,
        }
    }
}

impl<S: ModelService> Check<S> {
    pub(super) fn new(
        inner: S,
        request: ModelRequest,
        config: CrossCheckConfig,
        flaws: Flaws,
    ) -> Self {
        Self {
            inner,
            request,
            config,
            flaws,
        }
    }

    pub(super) async fn run(mut self) -> Result<ModelResponse, Error> {
        // The service was polled ready by the caller.
        let ModelResponse { mut meta, body } = self.inner.call(self.request.clone()).await?;
        let limit = if body.is_whole() {
            usize::MAX
        } else {
            self.config.answer_limit
        };
        let mut answer = body.collect(limit).await?;

        let ctx = self.request.ctx.clone();
        let before = ctx.spent();
        let found = self.check(&meta, &answer).await;
        if let Some((arbiter, better)) = found.better {
            let notes = std::mem::take(&mut meta.notes);
            meta = arbiter;
            meta.notes.splice(0..0, notes);
            answer = better;
        }
        meta.notes.extend(found.note.map(Into::into));
        let verdict = Verdict {
            agreement: found.agreement,
            confidence: found.confidence,
            reviewers: found.reviewers,
            cost: ctx.spent() - before,
        };
        tracing::info!(
            call = %ctx.id,
            agree = verdict.agreement == Agreement::Agree,
            checked = verdict.agreement != Agreement::Unchecked,
            confidence = verdict.confidence,
            cost_usd = %verdict.cost,
            "cross-checked"
        );
        meta.verdict = Some(verdict);
        let body = answer.into_form(!self.request.wants_stream())?.into_body();
        Ok(ModelResponse { meta, body })
    }

    async fn check(&mut self, meta: &ResponseMeta, collected: &Collected) -> Finding {
        let Some(primary) = meta.deployment.as_deref() else {
            return Finding::unchecked("it is not known who answered");
        };
        let answer = match self.reviewable(collected) {
            Ok(answer) => answer,
            Err(why) => return Finding::unchecked(why),
        };
        let until = Instant::now() + self.config.max_time;
        let until = self.request.ctx.deadline.map_or(until, |d| d.min(until));
        match self.hear_reviewers(primary, &answer, until).await {
            Err(error) => Finding::unchecked(error.message()),
            Ok(voices) => self.conclude(primary, &answer, voices, until).await,
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// Why a reader of texts cannot review it.
    fn reviewable(&self, collected: &Collected) -> Result<Answer, &'static str> {
        let body = &self.request.body;
        let answer = collected.to_whole().and_then(|whole| Answer::parse(&whole));
        let answer = answer.map_err(|_| "the answer cannot be read")?;
        if !answer.tool_calls.is_empty() {
            Err("a tool call is no answer yet")
        } else if answer.media {
            Err("the answer has pictures or sound")
        } else if answer.text.trim().is_empty() {
            Err("the answer has no text")
        } else if body.get_as("n").ok().flatten().unwrap_or(1u64) != 1 {
            Err("the answer has several choices")
        } else if !media(body).is_none() {
            Err("the question has pictures, sound or files")
        } else {
            Ok(answer)
        }
    }

    /// # Errors
    /// Why fewer reviews than needed are usable.
    async fn hear_reviewers(
        &mut self,
        primary: &Deployment,
        answer: &Answer,
        until: Instant,
    ) -> Result<Vec<Voice>, Error> {
        if !self.request.ctx.may_try() {
            return Err(unavailable("the call has no attempts or no time left"));
        }
        let routes = voices::reviewers(&self.request.route, primary, self.config.reviewers);
        let tokens = self.config.review_tokens;
        let body = prompt::review(&self.request.body, &answer.text, tokens)?;
        let mut panel: FuturesUnordered<_> = routes
            .into_iter()
            .map(|route| {
                let asked = ModelRequest {
                    own_limit: true,
                    ..self.asking(body.clone(), route)
                };
                hear(self.inner.clone(), asked, primary.id.clone())
            })
            .collect();

        let needed = self.config.min_responses.unwrap_or(1).max(1);
        let enough = match self.config.min_responses {
            Some(_) => needed,
            None => panel.len(),
        };
        let mut failure = unavailable("no other deployment can be asked");
        let mut voices = Vec::new();
        while voices.len() < enough {
            match timeout_at(until, panel.next()).await {
                Ok(Some(Ok(voice))) => voices.push(voice),
                Ok(Some(Err(error))) => failure = error,
                Ok(None) => break,
                Err(_) => {
                    failure = Error::new(ErrorKind::Timeout, "the reviewers took too long");
                    break;
                }
            }
        }
        if voices.len() < needed {
            return Err(failure);
        }
        Ok(voices)
    }

    async fn conclude(
        &mut self,
        primary: &Deployment,
        answer: &Answer,
        voices: Vec<Voice>,
        until: Instant,
    ) -> Finding {
        for Voice { who, review } in &voices {
            let says = if review.agree { "agrees" } else { "differs" };
            let what = format!("{says} with {} ({} %)", primary.id, review.confidence);
            self.note(who.as_ref(), what);
        }
        let who = voices.iter().filter_map(|v| v.who.as_ref());
        let mut reviewers: Vec<DeploymentId> = who.map(|(id, _)| id.clone()).collect();
        let differ = voices.iter().any(|v| !v.review.agree);
        let (mut issues, mut sum, mut count) = (Vec::new(), 0u32, 0u32);
        for Voice { review, .. } in voices {
            if review.agree != differ {
                (sum, count) = (sum + u32::from(review.confidence), count + 1);
            }
            if !review.agree {
                issues.extend(review.issues);
            }
        }
        let confidence = u8::try_from(sum / count.max(1)).unwrap_or(100);
        let mut finding = Finding {
            agreement: Agreement::Agree,
            confidence,
            reviewers: Vec::new(),
            note: None,
            better: None,
        };
        if differ {
            match self
                .arbitrate(primary, answer, &issues, &reviewers, until)
                .await
            {
                Ok(better) => {
                    let arbiter = better.0.deployment.as_ref().map(|d| (d.id.clone(), d.tier));
                    self.note(arbiter.as_ref(), "arbitrates".into());
                    reviewers.extend(arbiter.map(|(id, _)| id));
                    finding.better = Some(better);
                }
                Err(error) => {
                    finding.note =
                        Some(format!("reviewers object, and no arbiter decided: {error}"));
                }
            }
            finding.agreement = Agreement::Differ(issues);
        }
        finding.reviewers = reviewers;
        finding
    }

    async fn arbitrate(
        &mut self,
        primary: &Deployment,
        answer: &Answer,
        issues: &[String],
        reviewers: &[DeploymentId],
        until: Instant,
    ) -> Result<(ResponseMeta, Collected), Error> {
        let route = voices::arbiter(&self.request.route, primary, reviewers)
            .ok_or_else(|| unavailable("no other deployment can be asked"))?;
        if !self.request.ctx.may_try() {
            return Err(unavailable("the call has no attempts or no time left"));
        }
        let body = prompt::arbitrate(&self.request.body, &answer.text, issues)?;
        let asked = self.asking(body, route);
        let limit = self.config.answer_limit;
        let inner = self.inner.clone();
        let answered = async move {
            let response = inner.oneshot(asked).await?;
            let collected = response.body.collect(limit).await?;
            Ok((response.meta, collected))
        };
        let (meta, collected) = timeout_at(until, answered)
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "the arbiter took too long")))?;
        let better = Answer::parse(&collected.to_whole()?)?;
        match self.flaws.against(&self.request, &better, answer) {
            Some(flaw) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("the arbiter's answer will not do: {flaw}"),
            )),
            None => Ok((meta, collected)),
        }
    }

    /// A further request of the same call.
    fn asking(&self, body: RawObject, route: RouteHint) -> ModelRequest {
        ModelRequest {
            body,
            route,
            check: CheckUse::Never,
            ..self.request.clone()
        }
    }

    fn note(&self, who: Option<&(DeploymentId, Tier)>, what: String) {
        self.request.ctx.note(Step {
            deployment: who.map(|(id, _)| id.clone()),
            tier: who.map(|(_, tier)| *tier),
            what: what.into(),
        });
    }
}

/// Asks one reviewer.
async fn hear<S: ModelService>(
    inner: S,
    request: ModelRequest,
    primary: DeploymentId,
) -> Result<Voice, Error> {
    let response = inner.oneshot(request).await?;
    let who = response.meta.deployment.map(|d| (d.id.clone(), d.tier));
    if who.as_ref().is_some_and(|(id, _)| *id == primary) {
        return Err(unavailable("the one who answered cannot review it"));
    }
    let collected = response.body.collect(REVIEW_LIMIT).await?;
    let answer = Answer::parse(&collected.to_whole()?)?;
    let review = Review::read(&answer.text)
        .ok_or_else(|| Error::new(ErrorKind::Upstream, "a reviewer gave no verdict"))?;
    Ok(Voice { who, review })
}

fn unavailable(why: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}
