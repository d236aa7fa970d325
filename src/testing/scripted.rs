use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tower_service::Service;

use crate::{
    catalog::{Deployment, Money, Price},
    error::Error,
    model::{
        End, FinishReason, Frame, ModelBody, ModelRequest, ModelResponse, ResponseMeta, Usage,
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

struct State {
    script: VecDeque<Reply>,
    answer: Option<Arc<dyn Fn(&ModelRequest) -> Reply + Send + Sync>>,
    seen: Vec<ModelRequest>,
    bill: Money,
    cut: usize,
    open: usize,
}

/// One scripted reply.
#[derive(Debug, Clone)]
pub struct Reply {
    answer: Result<Value, Error>,
    finish: &'static str,
    usage: Option<Usage>,
    after: Duration,
    gap: Duration,
    stop_after: Option<usize>,
    fail_after: Option<(usize, Error)>,
    hang: bool,
}

impl Reply {
    /// An answer with this text. It bills one token per word.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::message(json!({ "role": "assistant", "content": text }))
    }

    /// An answer with this message.
    #[must_use]
    pub fn message(message: Value) -> Self {
        Self::from(Ok(message))
    }

    /// A failure before the first frame.
    #[must_use]
    pub fn error(error: Error) -> Self {
        Self::from(Err(error))
    }

    /// Never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self {
            hang: true,
            ..Self::text("")
        }
    }

    fn from(answer: Result<Value, Error>) -> Self {
        Self {
            answer,
            finish: "stop",
            usage: None,
            after: Duration::ZERO,
            gap: Duration::ZERO,
            stop_after: None,
            fail_after: None,
            hang: false,
        }
    }

    /// Sets the finish reason, in OpenAI's words.
    #[must_use]
    pub fn finish(mut self, finish: &'static str) -> Self {
        self.finish = finish;
        self
    }

    /// Sets the tokens that are reported and billed.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Waits before the first frame, or before the error.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = wait;
        self
    }

    /// Waits before each further frame of a stream.
    #[must_use]
    pub fn gap(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// A stream stops after so many chunks, without its end.
    #[must_use]
    pub fn stop_after(mut self, chunks: usize) -> Self {
        self.stop_after = Some(chunks);
        self
    }

    /// A stream fails after so many chunks.
    #[must_use]
    pub fn fail_after(mut self, chunks: usize, error: Error) -> Self {
        self.fail_after = Some((chunks, error));
        self
    }

    fn text_of(&self) -> &str {
        self.answer
            .as_ref()
            .ok()
            .and_then(|m| m["content"].as_str())
            .unwrap_or_default()
    }

    fn usage_for(&self, request: &ModelRequest) -> Usage {
        let words = self.text_of().split_whitespace().count() as u64;
        self.usage
            .unwrap_or(Usage::new(request.body.as_bytes().len() as u64 / 4, words))
    }
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
            seen: Vec::new(),
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
        self.state().seen.len()
    }

    /// The requests that have arrived.
    #[must_use]
    pub fn seen(&self) -> Vec<ModelRequest> {
        self.state().seen.clone()
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
        state.seen.push(request.clone());
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
                streamed(open, &reply, &message, usage)
            } else {
                scripted.charge(&usage);
                open.1 = true;
                let end = End {
                    usage: Some(usage),
                    finish: Some(FinishReason::from_openai(reply.finish)),
                    usage_chunk: None,
                };
                ModelBody::whole(whole(&scripted.deployment, &message, &reply, usage), end)
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

fn whole(deployment: &Deployment, message: &Value, reply: &Reply, usage: Usage) -> Bytes {
    json!({
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": &*deployment.upstream,
        "choices": [{ "index": 0, "message": message, "finish_reason": reply.finish, "logprobs": null }],
        "usage": openai_usage(usage),
    })
    .to_string()
    .into()
}

fn openai_usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.total_input(),
        "completion_tokens": usage.total_output(),
        "total_tokens": usage.total_input() + usage.total_output(),
        "prompt_tokens_details": { "cached_tokens": usage.cache_read },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning },
    })
}

fn streamed(open: Open, reply: &Reply, message: &Value, usage: Usage) -> ModelBody {
    let deployment = open.0.deployment();
    let chunk = |choices: Value, usage: Value| -> Bytes {
        json!({
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": &*deployment.upstream,
            "choices": choices,
            "usage": usage,
        })
        .to_string()
        .into()
    };
    let part = |delta: Value, finish: Option<&str>| {
        chunk(
            json!([{ "index": 0, "delta": delta, "finish_reason": finish }]),
            Value::Null,
        )
    };
    let mut chunks: VecDeque<Bytes> = VecDeque::new();
    match reply.text_of() {
        "" => {
            let mut delta = message.clone();
            if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
                calls
                    .iter_mut()
                    .enumerate()
                    .for_each(|(at, call)| call["index"] = json!(at));
            }
            chunks.push_back(part(delta, None));
        }
        text => {
            for (at, word) in text.split_inclusive(' ').enumerate() {
                let mut delta = json!({ "content": word });
                if at == 0 {
                    delta["role"] = json!("assistant");
                }
                chunks.push_back(part(delta, None));
            }
        }
    }
    chunks.push_back(part(json!({}), Some(reply.finish)));
    let end = End {
        usage: Some(usage),
        finish: Some(FinishReason::from_openai(reply.finish)),
        usage_chunk: Some(chunk(json!([]), openai_usage(usage))),
    };
    let total = chunks.len() as u64;
    let reply = reply.clone();
    ModelBody::stream(stream::unfold(
        (open, chunks, Some(end), 0usize),
        move |(mut open, mut chunks, mut end, sent)| {
            let reply = reply.clone();
            async move {
                if sent > 0 && !reply.gap.is_zero() {
                    tokio::time::sleep(reply.gap).await;
                }
                if reply.stop_after.is_some_and(|n| sent >= n) {
                    return None;
                }
                if let Some((n, error)) = &reply.fail_after
                    && sent >= *n
                {
                    let error = error.clone();
                    chunks.clear();
                    end = None;
                    let deployment = open.0.deployment();
                    let error = error.asked(deployment.provider.clone(), deployment.model.clone());
                    return Some((Err(error), (open, chunks, end, usize::MAX)));
                }
                if sent == usize::MAX {
                    return None;
                }
                let frame = match chunks.pop_front() {
                    Some(chunk) => {
                        // Billed as it is produced, so that the sum is exactly the price of the whole.
                        let made = |chunks: usize| Usage {
                            output: usage.output * chunks as u64 / total,
                            reasoning: usage.reasoning * chunks as u64 / total,
                            ..usage
                        };
                        if let Some(price) = open.0.deployment.price {
                            let more = made(sent + 1).cost(&price) - made(sent).cost(&price);
                            open.0.state().bill += more;
                        }
                        Frame::Data(chunk)
                    }
                    None => {
                        open.1 = true;
                        Frame::End(end.take()?)
                    }
                };
                Some((Ok(frame), (open, chunks, end, sent + 1)))
            }
        },
    ))
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
mod tests {
    use tower::ServiceExt;

    use super::*;
    use crate::testing::{ask, ask_stream};

    #[tokio::test]
    async fn both_forms_say_the_same_and_cost_the_same() {
        let usd = |text: &str| text.parse().unwrap();
        let deployment = Deployment::new("p", "m").price(Price::per_million(usd("1"), usd("2")));
        let usage = Usage::new(10, 7);
        let provider = Scripted::at(deployment, [Reply::text("one two three").usage(usage)]);
        let whole = provider.clone().oneshot(ask("q")).await.unwrap();
        let whole = whole.body.collect(9999).await.unwrap().to_whole().unwrap();
        assert_eq!(provider.bill(), Money::from_nanos(24_000));
        let streamed = provider.clone().oneshot(ask_stream("q")).await.unwrap();
        let streamed = streamed
            .body
            .collect(9999)
            .await
            .unwrap()
            .to_whole()
            .unwrap();
        assert_eq!(provider.bill(), Money::from_nanos(48_000));
        let read = |bytes: &Bytes| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(read(&whole), read(&streamed));
        assert_eq!((provider.cut(), provider.open()), (0, 0));
    }

    #[tokio::test]
    async fn a_reader_who_leaves_is_billed_for_what_was_made() {
        let deployment =
            Deployment::new("p", "m").price(Price::per_million(Money::ZERO, "1".parse().unwrap()));
        let provider = Scripted::at(deployment, [Reply::text("a b c").usage(Usage::new(0, 4))]);
        let answer = provider.clone().oneshot(ask_stream("q")).await.unwrap();
        assert_eq!(provider.bill(), Money::from_nanos(1000));
        drop(answer);
        assert_eq!((provider.cut(), provider.open()), (1, 0));
    }
}
