use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tower_service::Service;

use crate::{
    catalog::{Deployment, Price},
    error::Error,
    model::{End, Frame, ModelBody, ModelRequest, ModelResponse, Outcome, ResponseMeta},
};

/// The leaf under a layer that is being tested: it does one thing and writes down what became of it.
///
/// A clone of it is not ready until it is asked, and a call on one that is not ready panics.
pub struct Probe {
    shared: Arc<Shared>,
    ready: bool,
}

struct Shared {
    deployment: Arc<Deployment>,
    act: Act,
    seen: Mutex<Seen>,
}

/// What a probe does when it is called.
pub(super) enum Act {
    Whole(Bytes, End),
    Stream(Vec<Result<Frame, Error>>),
    /// These frames, then silence.
    Stall(Vec<Frame>),
    Fail(Error),
    Hang,
}

/// When a probe is ready.
#[derive(Default)]
pub(super) enum Gate {
    #[default]
    Open,
    Closed,
    Broken(Error),
}

#[derive(Default)]
struct Seen {
    gate: Gate,
    waker: Option<Waker>,
    bodies: Vec<Bytes>,
    running: usize,
    ends: Vec<&'static str>,
}

impl Probe {
    pub(super) fn new(act: Act) -> Self {
        let shared = Shared {
            deployment: Arc::new(Deployment::new("probe", "probe").price(Price::FREE)),
            act,
            seen: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            ready: false,
        }
    }

    /// Who answers: `probe/probe`, which is free.
    #[must_use]
    pub fn deployment(&self) -> Arc<Deployment> {
        Arc::clone(&self.shared.deployment)
    }

    pub(super) fn set_gate(&self, gate: Gate) {
        let waker = {
            let mut seen = self.seen();
            seen.gate = gate;
            seen.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The bodies of the requests that have arrived.
    pub(super) fn bodies(&self) -> Vec<Bytes> {
        self.seen().bodies.clone()
    }

    /// Calls that have neither answered nor been dropped.
    pub(super) fn running(&self) -> usize {
        self.seen().running
    }

    /// How its answers ended.
    pub(super) fn ends(&self) -> Vec<&'static str> {
        self.seen().ends.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn body(&self) -> ModelBody {
        let body = match &self.shared.act {
            Act::Whole(data, end) => ModelBody::whole(data.clone(), end.clone()),
            Act::Stream(frames) => ModelBody::stream(stream::iter(frames.clone())),
            Act::Stall(frames) => {
                let frames = stream::iter(frames.clone()).map(Ok);
                ModelBody::stream(frames.chain(stream::pending()))
            }
            Act::Fail(_) | Act::Hang => unreachable!("such a probe has no answer"),
        };
        let probe = self.clone();
        body.tap(move |outcome: Outcome<'_>| {
            probe.seen().ends.push(match outcome {
                Outcome::Complete(_) => "complete",
                Outcome::Failed(_) => "failed",
                Outcome::Cut => "cut",
            });
        })
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            ready: false,
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("ready", &self.ready)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

/// One call under way.
struct Running(Probe);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.seen().running -= 1;
    }
}

impl Service<ModelRequest> for Probe {
    type Response = ModelResponse;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<ModelResponse, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut seen = self.seen();
        match &seen.gate {
            Gate::Open => {}
            Gate::Broken(error) => return Poll::Ready(Err(error.clone())),
            Gate::Closed => {
                seen.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        drop(seen);
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "the inner service was called without being ready: call the one that was polled, not its clone"
        );
        let probe = self.clone();
        {
            let mut seen = probe.seen();
            seen.bodies.push(request.body.into_bytes());
            seen.running += 1;
        }
        let running = Running(probe);
        Box::pin(async move {
            let probe = &running.0;
            match &probe.shared.act {
                Act::Hang => std::future::pending::<()>().await,
                Act::Fail(error) => return Err(error.clone()),
                _ => {}
            }
            let meta = ResponseMeta {
                deployment: Some(probe.deployment()),
                ..ResponseMeta::default()
            };
            let body = probe.body().peek().await?;
            Ok(ModelResponse { meta, body })
        })
    }
}
