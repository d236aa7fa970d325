use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::{
    error::{Error, ErrorKind},
    json::RawObject,
    model::{Agreement, Call, CallContext, ModelRequest, Operation, RouteHint, Verdict},
    testing::{Reply, Scripted},
};

fn surface(provider: &Scripted) -> OpenAi<Scripted, impl Admit> {
    OpenAi::new(provider.clone(), |_: &_, _: Operation, _: &RawObject| {
        Ok((CallContext::new(Call::new("t")), RouteHint::default()))
    })
}

fn post(body: &Value) -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .body(body.to_string().into())
        .unwrap()
}

fn question(extra: Value) -> Value {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "q"}]});
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body
}

async fn send(provider: &Scripted, body: &Value) -> (Response<()>, String) {
    let (head, body) = surface(provider)
        .oneshot(post(body))
        .await
        .unwrap()
        .into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (
        Response::from_parts(head, ()),
        String::from_utf8(bytes.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn a_whole_answer_carries_its_facts() {
    let (head, body) = send(&Scripted::new(Reply::text("42")), &question(json!({}))).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert!(body.contains("\"42\""));
    for (name, value) in [
        ("x-rungs-tier", "L0"),
        ("x-rungs-model", "scripted"),
        ("x-rungs-cache", "off"),
        ("x-rungs-cost-usd", "0"),
    ] {
        assert_eq!(head.headers()[name], value, "{name}");
    }
    assert!(
        head.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .starts_with("req_")
    );
}

/// R19: exactly one usage chunk, last, if it was asked for; else none.
#[tokio::test]
async fn r19_the_usage_chunk_is_for_those_who_asked() {
    let provider = Scripted::new(Reply::text("a b"));
    let (_, without) = send(&provider, &question(json!({"stream": true}))).await;
    assert_eq!(without.matches("prompt_tokens").count(), 0);
    assert!(without.ends_with("data: [DONE]\n\n"), "{without}");
    let (_, with) = send(
        &provider,
        &question(json!({"stream": true, "stream_options": {"include_usage": true}})),
    )
    .await;
    let events: Vec<_> = with
        .split("\n\n")
        .filter(|e| e.starts_with("data:"))
        .collect();
    assert_eq!(with.matches("\"prompt_tokens\"").count(), 1);
    assert!(events[events.len() - 2].contains("prompt_tokens"));
    assert!(events[events.len() - 2].contains("\"rungs\":{") && !without.contains("\"rungs\":{"));
    assert!(with.contains(": rungs {") && with.contains("\"cost_usd\":\"0\""));
}

#[tokio::test]
async fn r5_a_cut_stream_is_an_error_event_and_no_done() {
    let (head, body) = send(
        &Scripted::new(Reply::text("a b c").stop_after(2)),
        &question(json!({"stream": true})),
    )
    .await;
    assert_eq!(head.status(), StatusCode::OK);
    assert!(
        body.contains("data: {\"error\":") && body.contains("stream_cut"),
        "{body}"
    );
    assert!(!body.contains("[DONE]") && !body.contains("\"stop\""));
}

#[tokio::test]
async fn r14_a_failure_before_the_first_content_is_a_real_status() {
    let late = Error::new(ErrorKind::RateLimited, "later").retry_after(Duration::from_millis(1500));
    for (reply, stream) in [
        (Reply::error(late.clone()), false),
        (Reply::error(late.clone()), true),
        (Reply::text("x").fail_after(0, late), true),
    ] {
        let (head, body) = send(&Scripted::new(reply), &question(json!({"stream": stream}))).await;
        assert_eq!(head.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(head.headers()["retry-after"], "2");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(error["error"]["code"], "rate_limit_exceeded");
        assert_eq!(error["error"]["provider"], "scripted");
        assert_eq!(
            error["error"]["request_id"],
            head.headers()["x-request-id"].to_str().unwrap()
        );
    }
}

/// R26: pings flow before the first frame and in gaps; a failure before the first ping keeps its status.
#[tokio::test(start_paused = true)]
async fn r26_pings_fill_the_silence() {
    let slow = Reply::text("a b")
        .after(Duration::from_secs(40))
        .gap(Duration::from_secs(20));
    let (head, body) = send(&Scripted::new(slow), &question(json!({"stream": true}))).await;
    assert_eq!(head.status(), StatusCode::OK);
    let first = body.find("data:").unwrap();
    assert_eq!(body[..first].matches(": ping").count(), 2, "{body}");
    assert_eq!(body[first..].matches(": ping").count(), 3, "{body}");

    let failed =
        |wait| Reply::error(Error::new(ErrorKind::Upstream, "no")).after(Duration::from_secs(wait));
    let (head, _) = send(
        &Scripted::new(failed(14)),
        &question(json!({"stream": true})),
    )
    .await;
    assert_eq!(head.status(), StatusCode::BAD_GATEWAY);
    let (head, body) = send(
        &Scripted::new(failed(16)),
        &question(json!({"stream": true})),
    )
    .await;
    assert_eq!(head.status(), StatusCode::OK);
    assert!(body.contains("data: {\"error\":") && !body.contains("[DONE]"));
}

/// The last words of a stream say what its headers could not yet say.
#[tokio::test(start_paused = true)]
async fn what_is_known_after_the_first_ping_is_said_at_the_end() {
    let provider = Scripted::new(Reply::text("a b"));
    let ring = service_fn(move |request: ModelRequest| {
        let provider = provider.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let mut answer = provider.oneshot(request).await?;
            answer.meta.verdict = Some(Verdict {
                agreement: Agreement::Differ(vec!["secret".into()]),
                confidence: 80,
                reviewers: Vec::new(),
                cost: Default::default(),
            });
            answer.meta.notes = vec!["one".into(), "two".into()];
            answer.meta.forgetful = true;
            Ok::<_, Error>(answer)
        }
    });
    let surface = OpenAi::new(ring, |_: &_, _: Operation, _: &RawObject| {
        Ok((CallContext::new(Call::new("t")), RouteHint::default()))
    });
    let answer = surface
        .oneshot(post(&question(json!({"stream": true}))))
        .await
        .unwrap();
    assert!(!answer.headers().contains_key("x-rungs-verdict"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let words = body
        .lines()
        .find_map(|line| line.strip_prefix(": rungs "))
        .unwrap();
    let words: Value = serde_json::from_str(words).unwrap();
    assert_eq!(words["verdict"], "differ; confidence=80");
    assert_eq!(words["notes"], json!(["one", "two"]));
    assert_eq!(words["context"], "unavailable");
    assert_eq!(words.get("replayed"), None);
}

#[tokio::test]
async fn bad_input_is_refused_by_name_and_nobody_is_asked() {
    let provider = Scripted::new(Reply::text("a"));
    let refuse = async |body: &str| {
        let request = Request::post("/v1/chat/completions")
            .body(Full::<Bytes>::from(body.to_owned()))
            .unwrap();
        let answer = surface(&provider).oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        (
            status.as_u16(),
            value["error"]["param"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    for (body, param) in [
        ("", ""),
        ("{\"model\":", ""),
        ("{\"model\":\"a\",\"model\":\"b\"}", "model"),
        ("{\"messages\":[{}]}", "model"),
        ("{\"model\":1,\"messages\":[{}]}", "model"),
        ("{\"model\":\"a\"}", "messages"),
        ("{\"model\":\"a\",\"messages\":\"hi\"}", "messages"),
        (
            "{\"model\":\"a\",\"messages\":[{}],\"Model\":\"b\"}",
            "Model",
        ),
        (
            "{\"model\":\"a\",\"messages\":[{}],\"meſſages\":[]}",
            "meſſages",
        ),
        (
            "{\"model\":\"a\",\"messages\":[{}],\"max_toKens\":9}",
            "max_toKens",
        ),
        ("{\"model\":\"a\",\"messages\":[]}", "messages"),
        (
            "{\"model\":\"a\",\"messages\":[{}],\"stream\":\"yes\"}",
            "stream",
        ),
        (
            "{\"model\":\"a\",\"messages\":[{}],\"max_tokens\":-1}",
            "max_tokens",
        ),
        ("{\"model\":\"a\",\"messages\":[{}],\"n\":1.5}", "n"),
        (
            "{\"model\":\"a\",\"messages\":[{}],\"stream\":true,\"stream_options\":{\"include_usage\":1}}",
            "stream_options",
        ),
    ] {
        assert_eq!(refuse(body).await, (400, param.to_owned()), "{body}");
    }
    assert_eq!(provider.calls(), 0);
    let lost = Request::post("/v1/nothing")
        .body(Full::<Bytes>::default())
        .unwrap();
    assert_eq!(
        surface(&provider).oneshot(lost).await.unwrap().status(),
        404
    );
}

#[tokio::test(start_paused = true)]
async fn large_and_endless_bodies_are_refused() {
    let provider = Scripted::new(Reply::text("a"));
    let limited = surface(&provider)
        .body_limit(1000)
        .body_time(Duration::from_secs(5));
    let announced = Request::post("/v1/chat/completions")
        .header("content-length", "100000000")
        .body(StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, Infallible>,
        >()))
        .unwrap();
    assert_eq!(
        limited.clone().oneshot(announced).await.unwrap().status(),
        413
    );
    let chunk = || Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(&[b' '; 100])));
    let endless = Request::post("/v1/chat/completions")
        .body(StreamBody::new(futures_util::stream::repeat_with(chunk)))
        .unwrap();
    assert_eq!(
        limited.clone().oneshot(endless).await.unwrap().status(),
        413
    );
    let silent = Request::post("/v1/chat/completions")
        .body(StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, Infallible>,
        >()))
        .unwrap();
    assert_eq!(limited.oneshot(silent).await.unwrap().status(), 408);
}

#[tokio::test]
async fn r10_dropping_the_body_closes_the_upstream() {
    let provider = Scripted::new(Reply::text("a b c").gap(Duration::from_secs(1)));
    let answer = surface(&provider)
        .oneshot(post(&question(json!({"stream": true}))))
        .await
        .unwrap();
    let mut body = answer.into_body();
    assert!(body.frame().await.is_some());
    assert_eq!(provider.open(), 1);
    drop(body);
    assert_eq!((provider.open(), provider.cut()), (0, 1));
}
