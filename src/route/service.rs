use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use foldhash::HashMap;
use futures_util::future::BoxFuture;
use tower::ServiceExt;
use tower_service::Service;

use super::{
    Class, Classifier, Decision, Heuristic,
    decide::{Candidate, Needs},
    own_limit::fitted,
};
use crate::{
    catalog::{Deployment, DeploymentId},
    error::{Error, ErrorKind, Retry},
    model::{BoxModelService, ModelRequest, ModelResponse, OnExhaust, Step},
};

/// Asks deployments in order until one answers. See the [module](super).
#[derive(Clone)]
pub struct Route {
    rings: Arc<HashMap<DeploymentId, BoxModelService>>,
    classifier: Arc<dyn Classifier>,
}

impl Route {
    /// Routes to these deployments, each through its own attempt ring.
    #[must_use]
    pub fn new(rings: impl IntoIterator<Item = (Arc<Deployment>, BoxModelService)>) -> Self {
        let rings = rings.into_iter().map(|(d, ring)| (d.id.clone(), ring));
        Self {
            rings: Arc::new(rings.collect()),
            classifier: Arc::new(Heuristic::new()),
        }
    }

    /// Replaces the heuristic classifier.
    #[must_use]
    pub fn classifier(mut self, classifier: impl Classifier + 'static) -> Self {
        self.classifier = Arc::new(classifier);
        self
    }

    /// Leaves every request unclassified, as an ordinary question.
    #[must_use]
    pub fn unclassified(self) -> Self {
        self.classifier(|_: &ModelRequest| Class::ORDINARY)
    }

    /// What would be done with `request`, without doing it.
    #[must_use]
    pub fn decide(&self, request: &ModelRequest) -> Decision {
        // Where there is no choice, the kind of work makes no difference.
        let class = match request.route.targets.first() {
            [_] => Class::ORDINARY,
            _ => self.classifier.classify(request),
        };
        Decision::make(request, class, &Needs::of(request))
    }

    async fn ask(self, request: ModelRequest) -> Result<ModelResponse, Error> {
        let decision = self.decide(&request);
        if decision.candidates.is_empty() {
            return Err(nobody(&decision));
        }
        let mut failures = Failures::default();
        // Above that the budget does not reach.
        let mut ceiling = request.route.max_tier;
        for candidate in &decision.candidates {
            if candidate.deployment.tier > ceiling && !candidate.deployment.is_free() {
                continue;
            }
            match self.ask_one(candidate, &request).await {
                Ok(mut response) => {
                    response.meta.fallback |= candidate.fallback;
                    let reservation = failures.reservation(&decision, candidate);
                    response.meta.notes.extend(reservation.map(Into::into));
                    return Ok(response);
                }
                Err(error) if error.retry() == Retry::Never || stops(&request, &error) => {
                    return Err(error);
                }
                Err(error) => {
                    if is_too_dear(&error) {
                        ceiling = candidate.deployment.tier;
                    }
                    failures.add(error);
                }
            }
            if !request.ctx.may_try() {
                break;
            }
        }
        Err(failures.worst())
    }

    async fn ask_one(
        &self,
        candidate: &Candidate,
        request: &ModelRequest,
    ) -> Result<ModelResponse, Error> {
        let deployment = &candidate.deployment;
        let ring = self.rings.get(&deployment.id).cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!("the deployment `{}` is not running", deployment.id),
            )
        })?;
        let asked = fitted(request.clone(), deployment)?;
        let result = ring.oneshot(asked).await;
        let step = |what| Step {
            deployment: Some(deployment.id.clone()),
            tier: Some(deployment.tier),
            what,
        };
        match &result {
            Ok(_) => request.ctx.note(step("answered".into())),
            Err(error) => {
                tracing::debug!(deployment = %deployment.id, error = %error, "no answer");
                request.ctx.note(step(error.message().to_owned().into()));
            }
        }
        result
    }
}

/// Whether the accounts cannot pay for it, so that a higher tier need not be asked. A deployment without a price says nothing of others.
fn is_too_dear(error: &Error) -> bool {
    error.kind() == ErrorKind::Budget && !error.is_elsewhere()
}

/// What the accounts cannot pay for is not asked of somebody cheaper where they say so.
fn stops(request: &ModelRequest, error: &Error) -> bool {
    error.kind() == ErrorKind::Budget && request.ctx.on_exhaust == OnExhaust::Refuse
}

fn nobody(decision: &Decision) -> Error {
    if decision.too_long() {
        return Error::new(
            ErrorKind::ContextTooLong,
            "the prompt does not fit the context window of any model that this request may use",
        )
        .param("messages");
    }
    let why = decision
        .skipped
        .iter()
        .map(|(id, why)| format!("{id} {why}"))
        .collect::<Vec<_>>()
        .join(", ");
    Error::invalid(format!(
        "no model that this request may use can answer it ({why})"
    ))
    .param("model")
}

/// The errors of all that were asked. The one that tells the client most is passed on.
#[derive(Default)]
struct Failures(Vec<Error>);

impl Failures {
    fn add(&mut self, error: Error) {
        self.0.push(error);
    }

    /// What is to be said of an answer by `candidate`, if others were meant to give it: another call may well get theirs.
    fn reservation(&self, decision: &Decision, candidate: &Candidate) -> Option<String> {
        let unpaid = self.0.iter().find(|e| e.kind() == ErrorKind::Budget);
        let error = match unpaid {
            None if !decision.goes_down_to(candidate) => return None,
            unpaid => unpaid.or(self.0.first())?,
        };
        let id = &candidate.deployment.id;
        Some(format!("`{id}` answers in the place of another: {error}"))
    }

    /// The last provider's error; when everybody said "later", the soonest later; when no provider was asked, the first refusal,
    /// which is about the cheapest.
    fn worst(mut self) -> Error {
        let later = |e: &Error| e.kind() == ErrorKind::RateLimited;
        if self.0.iter().all(later) {
            let told = self.0.iter().filter(|e| e.get_retry_after().is_some());
            if let Some(soonest) = told.min_by_key(|e| e.get_retry_after()) {
                return soonest.clone();
            }
        }
        match self.0.iter().rposition(Error::is_upstream).unwrap_or(0) {
            at if at < self.0.len() => self.0.swap_remove(at),
            _ => Error::internal("nobody was asked"),
        }
    }
}

impl Service<ModelRequest> for Route {
    type Response = ModelResponse;
    type Error = Error;
    type Future = BoxFuture<'static, Result<ModelResponse, Error>>;

    /// Always ready: readiness stops here, each deployment's ring is asked when its turn comes.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("deployments", &self.rings.len())
            .finish_non_exhaustive()
    }
}
