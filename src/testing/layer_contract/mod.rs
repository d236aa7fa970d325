//! What every layer promises, as a test suite.

mod probe;
#[cfg(test)]
mod tests;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use tokio::task::yield_now;
use tower::ServiceExt;

pub use self::probe::Probe;
use self::probe::{Act, Gate};
use super::{ask, ask_stream};
use crate::{
    error::{Error, ErrorKind},
    json::RawObject,
    model::{End, FinishReason, Frame, ModelResponse, ModelService, Usage},
};

/// Runs the whole suite against a layer; `wrap` puts a fresh instance of it around the probe it is given.
///
/// Run it in paused time, so that layers which wait do not. A layer passes if, in its everyday configuration,
///
/// 1. it is ready when its inner service is, and reserves nothing by being ready;
/// 2. it calls the very service that it has found ready, not a clone of it;
/// 3. errors pass as they are, before and within an answer;
/// 4. the request's body arrives byte for byte, members that nobody knows included;
/// 5. an abandoned call abandons the inner call, and an abandoned answer ends the inner answer, exactly once;
/// 6. frames arrive in order and unchanged, then one end.
///
/// ```
/// use rungs::{layers::in_flight::InFlightLayer, testing::layer_contract};
/// use tower::Layer;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// layer_contract(|probe| InFlightLayer::new(8).layer(probe)).await;
/// # });
/// ```
///
/// # Panics
/// With the promise that is broken.
pub async fn layer_contract<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    readiness_is_forwarded(&wrap).await;
    readiness_reserves_nothing(&wrap).await;
    the_ready_service_is_called(&wrap).await;
    errors_pass(&wrap).await;
    bodies_arrive_byte_for_byte(&wrap).await;
    an_abandoned_call_is_dropped(&wrap).await;
    an_abandoned_answer_ends_once(&wrap).await;
    frames_pass(&wrap).await;
    failures_within_an_answer_pass(&wrap).await;
}

async fn readiness_is_forwarded<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    let probe = Probe::new(whole());
    probe.set_gate(Gate::Closed);
    let mut service = wrap(probe.clone());
    let now = poll_fn(|cx| Poll::Ready(service.poll_ready(cx))).await;
    assert!(
        now.is_pending(),
        "the layer is ready although its inner service is not"
    );
    probe.set_gate(Gate::Open);
    let now = poll_fn(|cx| Poll::Ready(service.poll_ready(cx))).await;
    assert!(
        matches!(now, Poll::Ready(Ok(()))),
        "the layer is not ready although its inner service is"
    );
    probe.set_gate(Gate::Broken(Error::new(ErrorKind::Unavailable, "gone")));
    let error = wrap(probe).ready().await.err();
    assert_eq!(
        error.map(|e| e.kind()),
        Some(ErrorKind::Unavailable),
        "the error of the inner service's readiness is lost"
    );
}

async fn readiness_reserves_nothing<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    let service = wrap(Probe::new(whole()));
    let mut idle: Vec<S> = (0..64).map(|_| service.clone()).collect();
    for service in &mut idle {
        let now = poll_fn(|cx| Poll::Ready(service.poll_ready(cx))).await;
        assert!(now.is_ready(), "a clone that is only ready holds up others");
    }
    let answer = service.oneshot(ask("x")).await;
    assert!(answer.is_ok(), "clones that are only ready hold up a call");
}

async fn the_ready_service_is_called<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    let mut service = wrap(Probe::new(whole()));
    for question in ["first", "second"] {
        let ready = service.ready().await.expect("the probe is ready");
        let mut answer = ready.call(ask(question)).await.expect("the probe answers");
        while answer.body.next().await.is_some() {}
    }
    let answer = service.clone().oneshot(ask("third")).await;
    assert!(answer.is_ok(), "a clone of the service does not answer");
}

async fn errors_pass<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    for kind in ErrorKind::ALL {
        let raised = Error::new(kind, format!("raised as {kind:?}"));
        let asked = raised.clone().asked("probe".into(), "probe".into());
        let upstream = asked.clone().upstream_status(StatusCode::BAD_GATEWAY);
        for error in [raised, asked, upstream] {
            let service = wrap(Probe::new(Act::Fail(error.clone())));
            let got = service.oneshot(ask("x")).await.err();
            assert_eq!(
                got.as_ref().map(facts),
                Some(facts(&error)),
                "an error has not passed unchanged"
            );
        }
    }
}

async fn bodies_arrive_byte_for_byte<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    const BODY: &[u8] =
        br#"{ "zeta":[1.0e2,{"deep" : null}], "model":"auto","x-unknown":"caf\u00e9 ",
        "messages":[{"role":"user","content":"hi","extra":true}], "temperature":0.70 }"#;
    let probe = Probe::new(whole());
    let mut request = ask("x");
    request.body = RawObject::parse(Bytes::from_static(BODY)).expect("the body is an object");
    answer(wrap(probe.clone()), request).await;
    assert_eq!(
        probe.bodies(),
        [BODY],
        "the request's body has changed, or was not sent once"
    );
}

async fn an_abandoned_call_is_dropped<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    let probe = Probe::new(Act::Hang);
    let mut call = Box::pin(wrap(probe.clone()).oneshot(ask("x")));
    start(call.as_mut()).await;
    assert_eq!(probe.running(), 1, "the inner service was not called");
    drop(call);
    settle().await;
    assert_eq!(
        probe.running(),
        0,
        "the inner call outlives the call that was dropped"
    );
}

async fn an_abandoned_answer_ends_once<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    for read in 0..=1 {
        let probe = Probe::new(Act::Stall(data()));
        let mut answer = answer(wrap(probe.clone()), ask_stream("x")).await;
        for _ in 0..read {
            let frame = answer.body.next().await;
            assert!(matches!(frame, Some(Ok(Frame::Data(_)))), "no first frame");
        }
        assert!(probe.ends().is_empty(), "the answer ended too early");
        drop(answer);
        settle().await;
        assert_eq!(
            probe.ends(),
            ["cut"],
            "an answer that is dropped must end the inner one, once"
        );
    }
}

async fn frames_pass<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    let Act::Whole(document, _) = whole() else {
        unreachable!("it is whole")
    };
    let probe = Probe::new(whole());
    let got = answer(wrap(probe.clone()), ask("x")).await;
    assert!(
        got.body.is_whole(),
        "a whole answer is no longer in one piece"
    );
    let expected = [Frame::Data(document), Frame::End(end())];
    assert_eq!(read(got).await, expected.map(|f| shown(Ok(f))));
    assert_eq!(probe.ends(), ["complete"]);

    let probe = Probe::new(Act::Stream(frames()));
    let got = answer(wrap(probe.clone()), ask_stream("x")).await;
    assert!(
        !got.body.is_whole(),
        "a stream was gathered into one piece although it was read as a stream"
    );
    let expected: Vec<_> = frames().into_iter().map(shown).collect();
    assert_eq!(read(got).await, expected);
    assert_eq!(probe.ends(), ["complete"]);
}

async fn failures_within_an_answer_pass<S: ModelService>(wrap: impl Fn(Probe) -> S) {
    let failure = Error::new(ErrorKind::Upstream, "broke off").asked("probe".into(), "m".into());
    let mut frames = frames();
    frames.pop();
    frames.push(Err(failure));
    let probe = Probe::new(Act::Stream(frames.clone()));
    let got = answer(wrap(probe.clone()), ask_stream("x")).await;
    let expected: Vec<_> = frames.into_iter().map(shown).collect();
    assert_eq!(read(got).await, expected);
    assert_eq!(probe.ends(), ["failed"]);
}

async fn answer<S: ModelService>(service: S, request: crate::model::ModelRequest) -> ModelResponse {
    let answer = service.oneshot(request).await;
    answer.expect("the probe answers, so the layer should let the answer through")
}

async fn read(mut answer: ModelResponse) -> Vec<String> {
    let mut frames = Vec::new();
    while let Some(frame) = answer.body.next().await {
        frames.push(shown(frame));
    }
    frames
}

/// Polls `call` until it has come as far as it will without being woken.
async fn start<F: Future>(mut call: Pin<&mut F>) {
    for _ in 0..16 {
        let now = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(now.is_pending(), "the call ended although the probe hangs");
        yield_now().await;
    }
}

/// Lets tasks that were told to stop do so.
async fn settle() {
    for _ in 0..16 {
        yield_now().await;
    }
}

fn facts(error: &Error) -> (ErrorKind, String, Option<&str>, Option<StatusCode>) {
    let message = error.message().to_owned();
    (
        error.kind(),
        message,
        error.provider(),
        error.get_upstream_status(),
    )
}

fn shown(frame: Result<Frame, Error>) -> String {
    match frame {
        Ok(frame) => format!("{frame:?}"),
        Err(error) => format!("{:?}", facts(&error)),
    }
}

fn end() -> End {
    End {
        usage: Some(Usage::new(3, 2)),
        finish: Some(FinishReason::Stop),
        ..End::default()
    }
}

fn whole() -> Act {
    let document = serde_json::json!({
        "id": "probe", "object": "chat.completion", "created": 1, "model": "probe", "x-unknown": { "a": 1 },
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "a b" }, "finish_reason": "stop" }],
    });
    Act::Whole(document.to_string().into(), end())
}

fn data() -> Vec<Frame> {
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        let chunk = serde_json::json!({
            "id": "probe", "object": "chat.completion.chunk", "created": 1, "model": "probe", "x-unknown": { "a": 1 },
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        });
        Frame::Data(chunk.to_string().into())
    };
    vec![
        chunk(
            serde_json::json!({ "role": "assistant", "content": "a " }),
            None,
        ),
        chunk(serde_json::json!({ "content": "b" }), None),
        chunk(serde_json::json!({}), Some("stop")),
    ]
}

fn frames() -> Vec<Result<Frame, Error>> {
    let usage_chunk = Some(Bytes::from_static(
        br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
    ));
    let end = End {
        usage_chunk,
        ..end()
    };
    data()
        .into_iter()
        .chain([Frame::End(end)])
        .map(Ok)
        .collect()
}
