mod render;
mod reply;

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream;
use tower_service::Service;

pub use reply::Reply;

use crate::{
    catalog::{Deployment, Money, Price},
    error::Error,
    model::{
        End, FinishReason, Frame, ModelBody, ModelRequest, ModelResponse, Operation, ResponseMeta,
        Usage,
    },
};

/// A leaf that answers from a script, in whichever form the request wants, and keeps its own bill.
///
/// Replies are used up in order; the last one stays. Clones share script, bill and log.
///
/// ```
/// use rungs::testing::{Reply, Scripted, ask};
/// use tower::ServiceExt;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let provider = Scripted::new(Reply::text("42"));
/// let answer = provider.clone().oneshot(ask("6 x 7?")).await?;
/// assert!(answer.body.is_whole());
/// assert_eq!(provider.calls(), 1);
/// # Ok::<(), rungs::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Scripted {
    deployment: Arc<Deployment>,
    state: Arc<Mutex<State>>,
}

/// Works a reply out from the request.
type Answer = Arc<dyn Fn(&ModelRequest) -> Reply + Send + Sync>;

struct State {
    script: VecDeque<Reply>,
    answer: Option<Answer>,
    calls: usize,
    /// The newest requests; a scripted server may run for days.
    seen: VecDeque<ModelRequest>,
    bill: Money,
    cut: usize,
    open: usize,
}

impl Scripted {
    /// A free deployment `scripted/scripted` that always answers with `reply`.
    #[must_use]
    pub fn new(reply: Reply) -> Self {
        Self::at(
            Deployment::new("scripted", "scripted").price(Price::FREE),
            [reply],
        )
    }

    /// A deployment that answers with these replies in turn; the last one stays.
    #[must_use]
    pub fn at(deployment: Deployment, script: impl IntoIterator<Item = Reply>) -> Self {
        let state = State {
            script: script.into_iter().collect(),
            answer: None,
            calls: 0,
            seen: VecDeque::new(),
            bill: Money::ZERO,
            cut: 0,
            open: 0,
        };
        Self {
            deployment: Arc::new(deployment),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A deployment that works each reply out from the request.
    #[must_use]
    pub fn by(
        deployment: Deployment,
        answer: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let scripted = Self::at(deployment, []);
        scripted.state().answer = Some(Arc::new(answer));
        scripted
    }

    /// Who answers.
    #[must_use]
    pub fn deployment(&self) -> Arc<Deployment> {
        Arc::clone(&self.deployment)
    }

    /// How many requests have arrived.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// The requests that have arrived, at most the last thousand.
    #[must_use]
    pub fn seen(&self) -> Vec<ModelRequest> {
        self.state().seen.iter().cloned().collect()
    }

    /// What a real provider would have charged: input once accepted, output as far as it was produced.
    #[must_use]
    pub fn bill(&self) -> Money {
        self.state().bill
    }

    /// Answers whose reader left before the end.
    #[must_use]
    pub fn cut(&self) -> usize {
        self.state().cut
    }

    /// Answers under way.
    #[must_use]
    pub fn open(&self) -> usize {
        self.state().open
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, request: &ModelRequest) -> Reply {
        let mut state = self.state();
        state.calls += 1;
        if state.seen.len() == 1000 {
            state.seen.pop_front();
        }
        state.seen.push_back(request.clone());
        if let Some(answer) = state.answer.clone() {
            drop(state);
            return answer(request);
        }
        if state.script.len() > 1 {
            state.script.pop_front()
        } else {
            state.script.front().cloned()
        }
        .unwrap_or_else(|| Reply::error(Error::internal("the script is empty")))
    }

    fn charge(&self, usage: &Usage) {
        if let Some(price) = &self.deployment.price {
            self.state().bill += usage.cost(price);
        }
    }
}

/// Counts an answer as open, and as cut unless it was finished.
struct Open(Scripted, bool);

impl Open {
    fn new(scripted: Scripted) -> Self {
        scripted.state().open += 1;
        Self(scripted, false)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.cut += usize::from(!self.1);
    }
}

impl Service<ModelRequest> for Scripted {
    type Response = ModelResponse;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<ModelResponse, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ModelRequest) -> Self::Future {
        let scripted = self.clone();
        let reply = scripted.next(&request);
        Box::pin(async move {
            let mut open = Open::new(scripted.clone());
            if reply.hang {
                std::future::pending::<()>().await;
            }
            if !reply.after.is_zero() {
                tokio::time::sleep(reply.after).await;
            }
            let message = match &reply.answer {
                Ok(message) => message.clone(),
                Err(error) => {
                    open.1 = true;
                    let Deployment {
                        provider, model, ..
                    } = &*scripted.deployment;
                    return Err(error.clone().asked(provider.clone(), model.clone()));
                }
            };
            let usage = reply.usage_for(&request);
            let body = if request.wants_stream() {
                scripted.charge(&Usage {
                    output: 0,
                    reasoning: 0,
                    ..usage
                });
                streamed(open, reply, &message, usage)
            } else {
                scripted.charge(&usage);
                open.1 = true;
                let deployment = &scripted.deployment;
                let document = match request.op {
                    Operation::Embeddings => render::embeddings(deployment, &request.body, usage),
                    _ => render::whole(deployment, &message, &reply, usage),
                };
                let end = End {
                    usage: Some(usage),
                    reported_cost: reply.cost,
                    finish: Some(FinishReason::from_openai(reply.finish)),
                    ..End::default()
                };
                ModelBody::whole(document, end)
            };
            let meta = ResponseMeta {
                deployment: Some(scripted.deployment()),
                ..ResponseMeta::default()
            };
            Ok(ModelResponse {
                meta,
                body: body.peek().await?,
            })
        })
    }
}

/// A stream in the making.
struct Streaming {
    open: Open,
    reply: Reply,
    chunks: VecDeque<Bytes>,
    total: usize,
    sent: usize,
    end: Option<End>,
    usage: Usage,
}

fn streamed(open: Open, reply: Reply, message: &serde_json::Value, usage: Usage) -> ModelBody {
    let (chunks, end) = render::chunks(&open.0.deployment, message, &reply, usage);
    let total = chunks.len();
    let streaming = Streaming {
        open,
        reply,
        chunks,
        total,
        sent: 0,
        end: Some(end),
        usage,
    };
    ModelBody::stream(stream::unfold(streaming, |mut streaming| async {
        let frame = streaming.next().await?;
        Some((frame, streaming))
    }))
}

impl Streaming {
    async fn next(&mut self) -> Option<Result<Frame, Error>> {
        if self.sent > 0 && !self.reply.gap.is_zero() {
            tokio::time::sleep(self.reply.gap).await;
        }
        if self.reply.stop_after.is_some_and(|n| self.sent >= n) {
            return None;
        }
        if self
            .reply
            .fail_after
            .as_ref()
            .is_some_and(|(n, _)| self.sent >= *n)
        {
            let (_, error) = self.reply.fail_after.take()?;
            // Nothing comes after an error.
            self.reply.stop_after = Some(0);
            let Deployment {
                provider, model, ..
            } = &*self.open.0.deployment;
            return Some(Err(error.asked(provider.clone(), model.clone())));
        }
        let Some(chunk) = self.chunks.pop_front() else {
            self.open.1 = true;
            return Some(Ok(Frame::End(self.end.take()?)));
        };
        // Billed as it is produced, so that the sum is exactly the price of the whole.
        if let Some(price) = self.open.0.deployment.price {
            let more = self.made(self.sent + 1).cost(&price) - self.made(self.sent).cost(&price);
            self.open.0.state().bill += more;
        }
        self.sent += 1;
        Some(Ok(Frame::Data(chunk)))
    }

    fn made(&self, chunks: usize) -> Usage {
        let share = |tokens: u64| tokens * chunks as u64 / self.total as u64;
        Usage {
            output: share(self.usage.output),
            reasoning: share(self.usage.reasoning),
            ..self.usage
        }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("deployment", &self.deployment.id)
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
