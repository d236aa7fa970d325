use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    BreakerConfig,
    machine::{Change, Epoch, Machine},
    verdict::Verdict,
};
use crate::{
    catalog::DeploymentId,
    error::Error,
    model::{CallContext, Outcome, Tap},
};

/// What is known about the health of one deployment, shared by its clones. It outlives the stack it is used in, so that a reload does
/// not forget who is down.
#[derive(Clone)]
pub struct BreakerState(Arc<Shared>);

struct Shared {
    deployment: DeploymentId,
    machine: Mutex<Machine>,
}

impl BreakerState {
    /// A closed breaker of `deployment`.
    #[must_use]
    pub fn new(deployment: DeploymentId, config: BreakerConfig) -> Self {
        Self(Arc::new(Shared {
            deployment,
            machine: Mutex::new(Machine::new(config)),
        }))
    }

    /// Whose health this is.
    #[must_use]
    pub fn deployment(&self) -> &DeploymentId {
        &self.0.deployment
    }

    /// Whether a call would be refused now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.machine().is_open(Instant::now())
    }

    /// Changes the configuration; what is known, and a cool-down under way, stay.
    pub fn reconfigure(&self, config: BreakerConfig) {
        self.machine().reconfigure(config);
    }

    /// Lets a call through, or says how long to wait.
    pub(super) fn admit(&self, ctx: &CallContext) -> Result<Trial, Duration> {
        let since = Instant::now();
        let (epoch, change) = self.machine().admit(since)?;
        self.log(change, None);
        Ok(Trial {
            state: self.clone(),
            ctx: ctx.clone(),
            since,
            epoch: Some(epoch),
            is_probe: change.is_some(),
        })
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0
            .machine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, change: Option<Change>, cause: Option<&Error>) {
        let deployment = &self.0.deployment;
        let cause = cause.map(Error::message);
        match change {
            None => {}
            Some(Change::Probing) => {
                tracing::info!(%deployment, "breaker half open: one call may try")
            }
            Some(Change::Closed) => tracing::info!(%deployment, "breaker closed"),
            Some(Change::Opened {
                wait,
                verdict: Verdict::BadKey,
            }) => {
                tracing::warn!(%deployment, ?wait, cause, "breaker open: the provider does not accept our key or account");
            }
            Some(Change::Opened {
                wait,
                verdict: Verdict::Limited(_),
            }) => {
                tracing::info!(%deployment, ?wait, cause, "breaker open: the provider limits us");
            }
            Some(Change::Opened { wait, .. }) => {
                tracing::warn!(%deployment, ?wait, cause, "breaker open")
            }
        }
    }
}

impl fmt::Debug for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerState")
            .field("deployment", &self.0.deployment)
            .field("machine", &*self.machine())
            .finish()
    }
}

/// A call that was let through and owes an outcome. Dropped without one, it says nothing and a probe's place is free again.
pub(super) struct Trial {
    state: BreakerState,
    ctx: CallContext,
    since: Instant,
    epoch: Option<Epoch>,
    /// Until its answer has begun.
    is_probe: bool,
}

impl Trial {
    /// It failed before its answer began.
    pub(super) fn failed(mut self, error: &Error) {
        let silence = self.since.elapsed();
        self.blame(error, silence);
    }

    fn blame(&mut self, error: &Error, silence: Duration) {
        let patience = self.state.machine().config.patience;
        let verdict = Verdict::of(error, &self.ctx, silence, patience);
        self.settle(verdict, Some(error));
    }

    /// The probe has found somebody: the others need not wait for the end of its answer, which counts as that of any other call.
    fn found(&mut self) {
        let Some(epoch) = self.epoch else { return };
        let mut machine = self.state.machine();
        let change = machine.found(epoch);
        let now = machine.epoch();
        drop(machine);
        self.epoch = Some(now);
        self.state.log(change, None);
    }

    fn settle(&mut self, verdict: Verdict, cause: Option<&Error>) {
        if let Some(epoch) = self.epoch.take() {
            let change = self.state.machine().settle(epoch, verdict, Instant::now());
            self.state.log(change, cause);
        }
    }
}

impl Tap for Trial {
    fn on_data(&mut self, _: &Bytes) {
        if mem::take(&mut self.is_probe) {
            self.found();
        }
    }

    fn on_end(mut self: Box<Self>, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Complete(_) => self.settle(Verdict::Healthy, None),
            // Gaps in an answer have a limit of their own.
            Outcome::Failed(error) => self.blame(error, Duration::ZERO),
            Outcome::Cut => self.settle(Verdict::Silent, None),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.settle(Verdict::Silent, None);
    }
}
