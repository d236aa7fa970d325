use std::{ops::ControlFlow, sync::Arc};

use futures_util::FutureExt;
use tower::ServiceExt;

use super::{
    EscalateConfig, Evidence, Handoff, Judge, PreviousAttempt,
    assess::{Assessed, Assessor},
};
use crate::{
    catalog::{Deployment, DeploymentId, Tier},
    error::{Error, ErrorKind},
    model::{
        ModelBody, ModelRequest, ModelResponse, ModelService, Start, Step,
        chat::{Answer, instruct, take_summary},
    },
};

/// One call on its way up.
pub(super) struct Ascent<S> {
    inner: S,
    assessor: Assessor,
    climbs: u32,
    attempts: Vec<PreviousAttempt>,
    draft: Option<Draft>,
    first_error: Option<Error>,
    /// How many steps of the call have been read.
    read: usize,
    /// Who has been asked: nobody is asked twice.
    asked: Vec<DeploymentId>,
}

/// A flawed answer, kept until a better one is there.
struct Draft {
    response: ModelResponse,
    worth: u8,
}

/// Why a call climbs, and from where to where.
struct Finding {
    from: Tier,
    to: Tier,
    deployment: Option<DeploymentId>,
    evidence: Vec<Evidence>,
}

impl<S: ModelService> Ascent<S> {
    pub(super) fn new(
        inner: S,
        request: ModelRequest,
        judge: Arc<dyn Judge>,
        config: EscalateConfig,
    ) -> Self {
        Self {
            inner,
            assessor: Assessor {
                request,
                judge,
                config,
            },
            climbs: 0,
            attempts: Vec::new(),
            draft: None,
            first_error: None,
            read: 0,
            asked: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> Result<ModelResponse, Error> {
        // The service was polled ready by the caller.
        self.read = self.request().ctx.steps().len();
        let mut answer = self.inner.call(self.request().clone()).await;
        let mut floor = self.request().route.min_tier;
        loop {
            self.learn_who_was_asked();
            let finding = match answer {
                Ok(response) => match self.weigh_answer(response, floor).await {
                    ControlFlow::Break(response) => return Ok(response),
                    ControlFlow::Continue(finding) => finding,
                },
                Err(error) => self.weigh_error(error, floor),
            };
            let request = match finding.and_then(|finding| self.climb(&finding)) {
                Ok(request) => request,
                Err(error) => return self.settle(error),
            };
            floor = request.route.min_tier;
            answer = self.ask(request).await;
        }
    }

    fn request(&self) -> &ModelRequest {
        &self.assessor.request
    }

    async fn ask(&mut self, request: ModelRequest) -> Result<ModelResponse, Error> {
        let left = request.ctx.time_left().filter(|_| self.draft.is_some());
        let answer = async { self.inner.ready().await?.call(request).await };
        match left {
            None => answer.await,
            // With a draft in hand the deadline is no failure.
            Some(left) => tokio::time::timeout(left, answer)
                .await
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no time left"))),
        }
    }

    /// Breaks with an answer that will do.
    async fn weigh_answer(
        &mut self,
        response: ModelResponse,
        floor: Tier,
    ) -> ControlFlow<ModelResponse, Result<Finding, Error>> {
        let ModelResponse { meta, body } = response;
        let deployment = meta.deployment.as_ref();
        let from = deployment.map_or(floor, |d| d.tier.max(floor));
        // A fallback answers when all that the name stands for have failed: nobody is left above it.
        let Some(to) = self.above(from).filter(|_| !meta.fallback) else {
            return ControlFlow::Break(ModelResponse { meta, body });
        };
        let may_climb = self.may_climb().is_ok();
        let deployment = deployment.map(|d| d.id.clone());
        match self.assessor.assess(body, may_climb).await {
            Ok(Assessed::Sound(body)) => ControlFlow::Break(ModelResponse { meta, body }),
            Ok(Assessed::Flawed(body, answer, evidence)) => {
                let finding = Finding {
                    from,
                    to,
                    deployment,
                    evidence,
                };
                self.keep(ModelResponse { meta, body }, answer, &finding);
                ControlFlow::Continue(Ok(finding))
            }
            Err(error) => ControlFlow::Continue(self.weigh_failure(error, from, deployment)),
        }
    }

    fn weigh_error(&mut self, error: Error, floor: Tier) -> Result<Finding, Error> {
        let (from, deployment) = self.origin(&error, floor);
        self.weigh_failure(error, from, deployment)
    }

    /// # Errors
    /// The error, when climbing cannot help or is not allowed.
    fn weigh_failure(
        &mut self,
        error: Error,
        from: Tier,
        deployment: Option<DeploymentId>,
    ) -> Result<Finding, Error> {
        use ErrorKind::{Budget, Overloaded, RateLimited, Timeout};
        let refused = matches!(error.kind(), Budget | RateLimited | Overloaded | Timeout);
        let failed = self.assessor.judge.failed(self.request(), &error);
        let evidence = failed.into_evidence();
        let hopeless = evidence.is_empty() || (refused && self.draft.is_some());
        let Some(to) = self.above(from).filter(|_| !hopeless) else {
            return Err(error);
        };
        self.attempts.push(attempt(from, String::new(), &evidence));
        self.first_error.get_or_insert(error);
        Ok(Finding {
            from,
            to,
            deployment,
            evidence,
        })
    }

    /// Where `error` came from: the deployment it names, else the lowest tier that was asked.
    fn origin(&self, error: &Error, floor: Tier) -> (Tier, Option<DeploymentId>) {
        let targets = &self.request().route.targets;
        let named = targets.first().iter().rev().find(|d| {
            error.provider() == Some(&*d.provider)
                && [Some(&*d.model), Some(&*d.upstream)].contains(&error.model())
        });
        match named {
            Some(d) => (d.tier.max(floor), Some(d.id.clone())),
            None => {
                let asked = targets.tiers().find(|tier| *tier >= floor);
                (asked.unwrap_or(floor), None)
            }
        }
    }

    /// Keeps a flawed answer, unless a better one is there; of two equals the higher tier's.
    fn keep(&mut self, response: ModelResponse, answer: Answer, finding: &Finding) {
        let mut text = answer.refusal.unwrap_or(answer.text);
        text.truncate(text.floor_char_boundary(self.assessor.config.handoff_limit));
        self.attempts
            .push(attempt(finding.from, text, &finding.evidence));
        let worth = finding
            .evidence
            .iter()
            .map(Evidence::worth)
            .min()
            .unwrap_or(0);
        if self.draft.as_ref().is_none_or(|draft| draft.worth <= worth) {
            self.draft = Some(Draft { response, worth });
        }
    }

    /// A router may have gone up itself, to get an answer at all; it notes whom it asked.
    fn learn_who_was_asked(&mut self) {
        let steps = self.request().ctx.steps();
        let new = steps.get(self.read..).unwrap_or_default();
        self.asked
            .extend(new.iter().filter_map(|step| step.deployment.clone()));
        self.read = steps.len();
    }

    /// The next tier that has somebody left to ask.
    fn above(&self, tier: Tier) -> Option<Tier> {
        let route = &self.request().route;
        let left = |d: &&Arc<Deployment>| {
            d.tier > tier
                && d.tier <= route.max_tier
                && !route.exclude.contains(&d.id)
                && !self.asked.contains(&d.id)
        };
        let mut sorted = route.targets.first().iter();
        sorted.find(left).map(|d| d.tier)
    }

    fn may_climb(&self) -> Result<(), Error> {
        let ctx = &self.request().ctx;
        let out_of = |what| Err(Error::new(ErrorKind::Overloaded, what));
        if self.climbs >= self.assessor.config.max_climbs {
            out_of("the call has climbed as often as it may")
        } else if ctx.time_left().is_some_and(|left| left.is_zero()) {
            out_of("no time left")
        } else if !ctx.may_try() {
            out_of("the call has no attempts left")
        } else {
            Ok(())
        }
    }

    /// The request for the next tier.
    ///
    /// # Errors
    /// Why there is none.
    fn climb(&mut self, finding: &Finding) -> Result<ModelRequest, Error> {
        self.may_climb()?;
        let to = finding.to;
        let mut request = self.request().clone();
        request.route.min_tier = to;
        request.route.start = Start::Lowest;
        request.route.exclude.extend(self.asked.iter().cloned());
        // Nothing but failures teaches the next tier nothing: it gets the request as it was sent.
        let handoff = self.draft.is_some().then(|| {
            Handoff::new(self.request(), self.attempts.clone())
                .render(self.assessor.config.handoff_limit)
        });
        if let Some(handoff) = &handoff {
            let told = take_summary(&request.body).map(|(body, _)| body);
            request.body = instruct(told.as_ref().unwrap_or(&request.body), handoff)?;
        }
        self.climbs += 1;
        let evidence = listed(&finding.evidence).join("; ");
        tracing::info!(
            call = %request.ctx.id,
            from = %finding.from,
            %to,
            %evidence,
            handoff_bytes = handoff.as_ref().map_or(0, String::len),
            "climbing"
        );
        if let Some(handoff) = handoff {
            tracing::debug!(call = %request.ctx.id, %handoff, "handing over");
        }
        request.ctx.note(Step {
            deployment: finding.deployment.clone(),
            tier: Some(finding.from),
            what: format!("climbs to {to}: {evidence}").into(),
        });
        Ok(request)
    }

    /// The best answer so far, with a note why there is no better one; else the first failure.
    fn settle(self, error: Error) -> Result<ModelResponse, Error> {
        let Some(Draft { mut response, .. }) = self.draft else {
            return Err(self.first_error.unwrap_or(error));
        };
        let ctx = &self.assessor.request.ctx;
        if ctx.time_left().is_some_and(|left| left.is_zero()) {
            response.body = at_hand(response.body, self.assessor.config.answer_limit)?;
        }
        tracing::info!(call = %ctx.id, reason = %error, "not climbing further");
        let deployment = response.meta.deployment.as_ref();
        let note = format!("a flawed answer was not escalated: {error}");
        ctx.note(Step {
            deployment: deployment.map(|d| d.id.clone()),
            tier: deployment.map(|d| d.tier),
            what: note.clone().into(),
        });
        response.meta.notes.push(note.into());
        Ok(response)
    }
}

/// The answer, if all of it is here: of one that goes on, no more would come than its beginning and an error.
fn at_hand(body: ModelBody, limit: usize) -> Result<ModelBody, Error> {
    if body.is_whole() {
        return Ok(body);
    }
    match body.collect(limit).now_or_never() {
        Some(Ok(answer)) => Ok(answer.into_body()),
        _ => Err(Error::new(
            ErrorKind::Timeout,
            "the call's deadline has passed before there was a whole answer",
        )
        // The draft is paid for, though nobody may have said so yet.
        .may_be_billed()),
    }
}

fn attempt(tier: Tier, text: String, evidence: &[Evidence]) -> PreviousAttempt {
    PreviousAttempt {
        tier,
        text,
        issues: listed(evidence),
    }
}

fn listed(evidence: &[Evidence]) -> Vec<String> {
    evidence.iter().map(ToString::to_string).collect()
}
