use std::task::Context;

use tower_service::Service;

use super::*;
use crate::model::{BoxModelService, ModelBody, ModelRequest};

#[derive(Clone)]
struct Broken<F> {
    inner: Probe,
    answer: F,
    always_ready: bool,
}

/// A layer that does `answer`, which may break a promise.
fn broken<F, R>(answer: F, always_ready: bool) -> impl Fn(Probe) -> BoxModelService
where
    F: Fn(Probe, ModelRequest) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<ModelResponse, Error>> + Send + 'static,
{
    move |inner| {
        let answer = answer.clone();
        let answer = move |inner, request| Box::pin(answer(inner, request)) as _;
        BoxModelService::new(Broken {
            inner,
            answer,
            always_ready,
        })
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<ModelResponse, Error>> + Send>>;

impl<F: Fn(Probe, ModelRequest) -> Answer> Service<ModelRequest> for Broken<F> {
    type Response = ModelResponse;
    type Error = Error;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.always_ready {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ModelRequest) -> Answer {
        let clone = self.inner.clone();
        (self.answer)(std::mem::replace(&mut self.inner, clone), request)
    }
}

#[tokio::test]
async fn a_layer_that_does_nothing_passes() {
    layer_contract(|probe| probe).await;
    let through = |mut probe: Probe, request| async move { probe.call(request).await };
    layer_contract(broken(through, false)).await;
}

#[tokio::test]
#[should_panic(expected = "ready although its inner service is not")]
async fn a_layer_that_hides_readiness_fails() {
    let answer = |probe: Probe, request| probe.oneshot(request);
    layer_contract(broken(answer, true)).await;
}

#[tokio::test]
#[should_panic(expected = "called without being ready")]
async fn a_layer_that_calls_a_clone_fails() {
    let answer = |probe: Probe, request| async move {
        let mut clone = probe.clone();
        clone.call(request).await
    };
    layer_contract(broken(answer, false)).await;
}

#[tokio::test]
#[should_panic(expected = "not passed unchanged")]
async fn a_layer_that_renames_errors_fails() {
    let answer = |mut probe: Probe, request| async move {
        let answer = probe.call(request).await;
        answer.map_err(|e| Error::new(e.kind(), "something went wrong"))
    };
    layer_contract(broken(answer, false)).await;
}

#[tokio::test]
#[should_panic(expected = "body has changed")]
async fn a_layer_that_rewrites_the_body_fails() {
    let answer = |mut probe: Probe, mut request: ModelRequest| async move {
        let json: serde_json::Value =
            serde_json::from_slice(request.body.as_bytes()).expect("it is JSON");
        request.body = RawObject::from_serialize(&json)?;
        probe.call(request).await
    };
    layer_contract(broken(answer, false)).await;
}

#[tokio::test]
#[should_panic(expected = "outlives the call")]
#[expect(
    clippy::disallowed_methods,
    reason = "such a layer is what must be found out"
)]
async fn a_layer_that_lets_go_of_the_inner_call_fails() {
    let answer = |mut probe: Probe, request| async move {
        let call = tokio::spawn(probe.call(request));
        call.await.map_err(|e| Error::internal(e.to_string()))?
    };
    layer_contract(broken(answer, false)).await;
}

#[tokio::test]
#[should_panic(expected = "must end the inner one, once")]
#[expect(
    clippy::disallowed_methods,
    reason = "such a layer is what must be found out"
)]
async fn a_layer_that_keeps_the_inner_answer_fails() {
    let answer = |mut probe: Probe, request| async move {
        let ModelResponse { meta, mut body } = probe.call(request).await?;
        if body.is_whole() {
            return Ok(ModelResponse { meta, body });
        }
        let (frames, kept) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(frame) = body.next().await {
                let _ = frames.send(frame).await;
            }
        });
        let kept = futures_util::stream::unfold(kept, |mut kept| async {
            kept.recv().await.map(|frame| (frame, kept))
        });
        let body = ModelBody::stream(kept);
        Ok(ModelResponse { meta, body })
    };
    layer_contract(broken(answer, false)).await;
}
