//! OpenAI's dialect against recorded traffic: `tests/fixtures/openai/<case>/{request.json, upstream.http, expected.json}`.
#![allow(clippy::unwrap_used, reason = "what plays the cases is test code too")]

use std::{
    convert::Infallible,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame as BodyFrame;
use http_body_util::StreamBody;
use rungs::{
    Error, ErrorKind, Retry,
    catalog::Deployment,
    json::RawObject,
    model::{Call, CallContext, End, Frame, ModelRequest, Operation, chat},
    provider::{
        Endpoint, HttpProvider, Secret,
        openai::{OpenAi, Terminal},
    },
};
use serde_json::{Value, json};
use tower::ServiceExt;

const CANARY: &str = "sk-canary-4f1c9b7e2d";

struct Case {
    name: String,
    request: Bytes,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    expected: Value,
}

/// What came of a call: the payloads that were delivered, and the end or the error.
#[derive(Debug)]
struct Seen {
    /// Whether the service itself resolved with the error.
    early: bool,
    data: Vec<Bytes>,
    result: Result<End, Error>,
}

impl Seen {
    fn assert_like(&self, other: &Self, place: impl Fn() -> String) {
        assert_eq!(self.data, other.data, "{}", place());
        let [ours, theirs] = [self, other].map(|seen| format!("{:?}", seen.result));
        assert_eq!(ours, theirs, "{}", place());
    }
}

impl Case {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openai");
        let cases = fs::read_dir(root).unwrap();
        cases.map(|dir| Self::load(&dir.unwrap().path())).collect()
    }

    fn streams() -> Vec<Self> {
        let cases = Self::all().into_iter();
        cases.filter(|c| c.name.starts_with("stream_")).collect()
    }

    fn load(dir: &Path) -> Self {
        let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap();
        let upstream = read("upstream.http");
        let (head, body) = upstream.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse().unwrap(), value.parse().unwrap())
        });
        Self {
            name: dir.file_name().unwrap().to_str().unwrap().to_owned(),
            request: read("request.json").into(),
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: body.to_owned().into(),
            expected: serde_json::from_str(&read("expected.json")).unwrap(),
        }
    }

    fn dialect(&self) -> OpenAi {
        match self.expected["terminal"].as_str() {
            Some("finish_reason") => OpenAi::new().terminal(Terminal::FinishReason),
            _ => OpenAi::new(),
        }
    }

    fn op(&self) -> Operation {
        match self.expected["operation"].as_str() {
            Some("embeddings") => Operation::Embeddings,
            _ => Operation::Chat,
        }
    }

    /// Plays the case with `chunks` as the body; gives also the request that the provider saw.
    async fn play(&self, dialect: OpenAi, chunks: Vec<Bytes>) -> (Request<Bytes>, Seen) {
        let mut response = Response::new(chunks);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers.iter().cloned());
        play(dialect, self.op(), self.request.clone(), response).await
    }

    async fn see(&self, chunks: Vec<Bytes>) -> Seen {
        self.play(self.dialect(), chunks).await.1
    }
}

async fn play(
    dialect: OpenAi,
    op: Operation,
    request: Bytes,
    response: Response<Vec<Bytes>>,
) -> (Request<Bytes>, Seen) {
    let sent = Arc::new(Mutex::new(None));
    let (log, response) = (sent.clone(), Arc::new(Mutex::new(Some(response))));
    let transport = tower::service_fn(move |request| {
        *log.lock().unwrap() = Some(request);
        let response = response.lock().unwrap().take().unwrap();
        let chunk = |chunk| Ok::<_, Infallible>(BodyFrame::data(chunk));
        let response =
            response.map(|chunks| StreamBody::new(stream::iter(chunks.into_iter().map(chunk))));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let endpoint = Endpoint::new("acme", "https://api.acme.test/v1").unwrap();
    let provider = HttpProvider::new(
        transport,
        Deployment::new("acme", "gpt-4o-mini"),
        endpoint.key(Secret::new(CANARY).unwrap()),
        Arc::new(dialect),
    );
    let body = RawObject::parse(request).unwrap();
    let request = ModelRequest::new(op, body, CallContext::new(Call::new("tenant")));
    let mut seen = Seen {
        early: true,
        data: Vec::new(),
        result: Err(Error::internal("no outcome")),
    };
    match provider.oneshot(request).await {
        Err(error) => seen.result = Err(error),
        Ok(mut answer) => {
            assert!(answer.meta.deployment.is_some());
            seen.early = false;
            while let Some(frame) = answer.body.next().await {
                match frame {
                    Ok(Frame::Data(data)) => seen.data.push(data),
                    Ok(Frame::End(end)) => seen.result = Ok(end),
                    Err(error) => seen.result = Err(error),
                }
            }
        }
    }
    let sent = sent.lock().unwrap().take().unwrap();
    (sent, seen)
}

fn with_newlines(body: &Bytes, newline: &str) -> Bytes {
    let text = std::str::from_utf8(body).unwrap();
    text.replace('\n', newline).into()
}

fn check(case: &Case, seen: &Seen) {
    let (name, expected) = (&case.name, &case.expected);
    if let Some(data) = expected["data"].as_u64() {
        assert_eq!(seen.data.len() as u64, data, "{name}");
    }
    if let Some(wanted) = expected["error"].as_object() {
        let error = seen.result.as_ref().unwrap_err();
        assert_eq!(error.kind().as_str(), wanted["kind"], "{name}");
        assert_eq!(error.status().as_u16(), wanted["status"], "{name}");
        assert_eq!(error.message(), wanted["message"], "{name}");
        assert_eq!(error.provider(), Some("acme"), "{name}");
        assert_eq!(seen.early, wanted["when"] == "before", "{name}");
        return;
    }
    let end = seen.result.as_ref().unwrap();
    assert_eq!(json!(end.usage), expected["usage"], "{name}");
    let finish = end
        .finish
        .map(|finish| format!("{finish:?}").to_lowercase());
    let wanted = expected["finish"].as_str().map(|f| f.replace('_', ""));
    assert_eq!(finish, wanted, "{name}");
    assert_eq!(
        end.usage_chunk.is_some(),
        expected["usage_chunk"] == true,
        "{name}"
    );
    if let Some(message) = expected["message"].as_object() {
        let whole = match expected["whole"] == true {
            true => seen.data[0].clone(),
            false => chat::assemble(&seen.data, end.usage_chunk.as_ref()).unwrap(),
        };
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        for (member, value) in message {
            assert_eq!(whole["choices"][0]["message"][member], *value, "{name}");
        }
    }
}

#[tokio::test]
async fn each_case_is_sent_and_read_as_expected() {
    let cases = Case::all();
    assert!(cases.len() >= 14);
    for case in &cases {
        let (sent, seen) = case.play(case.dialect(), vec![case.body.clone()]).await;
        assert_eq!(sent.body(), case.expected["sent"].as_str().unwrap());
        assert_eq!(sent.uri().host(), Some("api.acme.test"));
        assert_eq!(
            sent.headers()["authorization"].to_str().unwrap(),
            format!("Bearer {CANARY}")
        );
        check(case, &seen);
        if case.expected["whole"] == true && seen.result.is_ok() {
            assert_eq!(seen.data, std::slice::from_ref(&case.body), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn r4_every_split_and_every_line_ending_reads_the_same() {
    for case in Case::streams() {
        let plain = case.see(vec![case.body.clone()]).await;
        for newline in ["\n", "\r\n", "\r"] {
            let body = with_newlines(&case.body, newline);
            for at in 0..body.len() {
                let seen = case.see(vec![body.slice(..at), body.slice(at..)]).await;
                seen.assert_like(&plain, || format!("{} {newline:?} {at}", case.name));
            }
        }
    }
}

#[tokio::test]
async fn r4_ten_thousand_random_splits_read_the_same() {
    let mut cases = Vec::new();
    for case in Case::streams() {
        let plain = case.see(vec![case.body.clone()]).await;
        cases.push((case, plain));
    }
    let mut random = fastrand::Rng::with_seed(4);
    for round in 0..10_000 {
        let (case, plain) = &cases[round % cases.len()];
        let mut rest = with_newlines(&case.body, ["\n", "\r\n", "\r"][random.usize(..3)]);
        let largest = 1 << random.usize(1..11);
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let size = random.usize(..=largest).min(rest.len());
            chunks.push(rest.split_to(size));
        }
        let seen = case.see(chunks).await;
        seen.assert_like(plain, || format!("{} round {round}", case.name));
    }
}

/// The offset behind which a body cut there is complete: behind `[DONE]`, or the end of the line with the last finish reason.
fn complete_from(case: &Case, body: &[u8]) -> usize {
    let text = std::str::from_utf8(body).unwrap();
    const DONE: &str = "[DONE]";
    let complete = match case.expected["terminal"].as_str() {
        Some(_) => text.rfind(r#""finish_reason":""#).map(|reason| {
            let rest = text[reason..].find(['\n', '\r']);
            reason + rest.unwrap() + 1
        }),
        None => text.find(DONE).map(|done| done + DONE.len()),
    };
    complete.unwrap_or(usize::MAX)
}

#[tokio::test]
async fn r5_no_cut_stream_gets_an_end_of_our_own() {
    for case in Case::streams() {
        for newline in ["\n", "\r\n"] {
            let body = with_newlines(&case.body, newline);
            let complete = complete_from(&case, &body);
            let full = case.see(vec![body.clone()]).await;
            for at in 0..=body.len() {
                let seen = case.see(vec![body.slice(..at)]).await;
                let place = format!("{} {newline:?} cut at {at}", case.name);
                assert_eq!(seen.result.is_ok(), at >= complete, "{place}");
                assert!(full.data.starts_with(&seen.data), "{place}");
                if let Err(error) = seen.result {
                    let told = case.expected["error"]["kind"].as_str();
                    let kind = error.kind().as_str();
                    assert!(
                        kind == "stream_cut" || Some(kind) == told,
                        "{place}: {kind}"
                    );
                    assert!(error.is_upstream(), "{place}");
                    assert!(seen.early == seen.data.is_empty(), "{place}");
                }
            }
        }
    }
}

#[tokio::test]
async fn r5_a_finish_reason_without_done_is_cut_unless_configured() {
    let cases = Case::streams();
    let unterminated = cases.iter().filter(|c| c.name.ends_with("without_done"));
    for case in unterminated {
        let seen = case.play(OpenAi::new(), vec![case.body.clone()]).await.1;
        assert_eq!(seen.result.unwrap_err().kind(), ErrorKind::Cut);
    }
}

#[tokio::test]
async fn r6_tool_calls_reassemble_to_what_the_whole_answer_says() {
    let cases = Case::all();
    let whole = cases.iter().find(|c| c.name == "whole_tools").unwrap();
    for name in ["stream_tools_parallel", "stream_tools_interleaved"] {
        let case = cases.iter().find(|c| c.name == name).unwrap();
        let wanted = &whole.expected["message"]["tool_calls"];
        assert_eq!(&case.expected["message"]["tool_calls"], wanted);
        check(case, &case.see(vec![case.body.clone()]).await);
    }
}

#[tokio::test]
async fn r19_usage_is_never_data_and_its_chunk_comes_once() {
    for case in Case::streams() {
        let seen = case.see(vec![case.body.clone()]).await;
        for data in &seen.data {
            let chunk: Value = serde_json::from_slice(data).unwrap();
            assert!(chunk["usage"].is_null(), "{}", case.name);
        }
        if let Ok(End {
            usage_chunk: Some(chunk),
            ..
        }) = &seen.result
        {
            let chunk: Value = serde_json::from_slice(chunk).unwrap();
            assert_eq!(chunk["choices"], json!([]), "{}", case.name);
            assert!(chunk["usage"].is_object(), "{}", case.name);
        }
    }
}

/// An answer of the provider, and what must become of it: kind, status for the client, seconds to wait.
type Row = (u16, &'static str, &'static str, ErrorKind, u16, Option<u64>);

/// OpenRouter's, while its account has credit for shorter answers.
const UNAFFORDABLE: &str = r#"{"error":{"message":"This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 30104","code":402}}"#;

#[rustfmt::skip]
const REFUSALS: [Row; 25] = [
    (400, "", r#"{"error":{"message":"bad","type":"invalid_request_error","param":"n","code":null}}"#, ErrorKind::Invalid, 400, None),
    (400, "", r#"{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#, ErrorKind::ContextTooLong, 400, None),
    (400, "", r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400}"#, ErrorKind::ContextTooLong, 400, None),
    (400, "", r#"{"error":{"message":"rejected","type":"invalid_request_error","code":"content_policy_violation"}}"#, ErrorKind::Refused, 400, None),
    (400, "", r#"{"error":{"message":"filtered","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#, ErrorKind::Refused, 400, None),
    (401, "", r#"{"error":{"message":"Incorrect API key provided: sk-canary-4f1c9b7e2d","code":"invalid_api_key"}}"#, ErrorKind::Upstream, 502, None),
    (402, "", r#"{"error":{"message":"Insufficient credits","code":402}}"#, ErrorKind::Upstream, 502, None),
    (402, "", UNAFFORDABLE, ErrorKind::Invalid, 400, None),
    (403, "", r#"{"error":{"message":"Country not supported","code":"unsupported_country"}}"#, ErrorKind::Upstream, 502, None),
    (404, "", r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#, ErrorKind::NotFound, 404, None),
    (404, "", "404 page not found", ErrorKind::NotFound, 404, None),
    (408, "", "", ErrorKind::Timeout, 504, None),
    (413, "", "<html>413</html>", ErrorKind::TooLarge, 413, None),
    (422, "", r#"{"detail":[{"loc":["body","messages"],"msg":"field required","type":"value_error.missing"}]}"#, ErrorKind::Invalid, 422, None),
    (422, "", r#"{"detail":"no such thing"}"#, ErrorKind::Invalid, 422, None),
    (429, "7", r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#, ErrorKind::RateLimited, 429, Some(7)),
    (429, "", r#"{"error":"slow down"}"#, ErrorKind::RateLimited, 429, None),
    (429, "3600", r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#, ErrorKind::Upstream, 429, Some(3600)),
    (429, "Wed, 21 Oct 2015 07:28:00 GMT", r#"[{"error":{"code":429,"message":"Resource exhausted","status":"RESOURCE_EXHAUSTED"}}]"#, ErrorKind::RateLimited, 429, Some(0)),
    (500, "", r#"{"error":{"message":"The server had an error","type":"server_error"}}"#, ErrorKind::Upstream, 500, None),
    (502, "", "<!DOCTYPE html><html>Bad gateway</html>", ErrorKind::Upstream, 502, None),
    (503, "30", r#"{"message":"no healthy upstream"}"#, ErrorKind::Unavailable, 503, Some(30)),
    (504, "", "", ErrorKind::Timeout, 504, None),
    (529, "", r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#, ErrorKind::Unavailable, 529, None),
    (307, "", "", ErrorKind::Upstream, 502, None),
];

#[tokio::test]
async fn r12_status_and_retry_after_reach_the_client() {
    for (status, after, body, kind, seen_status, seen_after) in REFUSALS {
        for stream in ["", r#","stream":true"#] {
            let mut response = Response::new(vec![Bytes::from(body)]);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let headers = response.headers_mut();
            headers.insert(
                "location",
                HeaderValue::from_static("http://169.254.169.254/"),
            );
            if !after.is_empty() {
                headers.insert("retry-after", HeaderValue::from_static(after));
            }
            let request = format!(r#"{{"model":"auto","messages":[]{stream}}}"#).into();
            let seen = play(OpenAi::new(), Operation::Chat, request, response)
                .await
                .1;
            let error = seen.result.unwrap_err();
            let row = format!("{status} {body}: {error:?}");
            assert!(seen.early, "{row}");
            assert_eq!(error.kind(), kind, "{row}");
            assert_eq!(error.status().as_u16(), seen_status, "{row}");
            assert_eq!(
                error.get_upstream_status().unwrap().as_u16(),
                status,
                "{row}"
            );
            assert_eq!(
                error.get_retry_after().map(|t| t.as_secs()),
                seen_after,
                "{row}"
            );
            assert_eq!(error.provider(), Some("acme"), "{row}");
            assert_eq!(error.model(), Some("gpt-4o-mini"), "{row}");
            assert!(!error.message().contains('<'), "{row}");
        }
    }
}

#[tokio::test]
async fn what_our_credit_does_not_reach_is_about_the_request() {
    let mut response = Response::new(vec![Bytes::from(UNAFFORDABLE)]);
    *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
    let request = r#"{"model":"auto","messages":[]}"#.into();
    let seen = play(OpenAi::new(), Operation::Chat, request, response).await;
    let error = seen.1.result.unwrap_err();
    assert_eq!(
        error.message(),
        "the gateway's credit at the provider does not reach for an answer of that length",
        "how much it is, is nobody's business"
    );
    assert_eq!(error.get_param(), Some("max_tokens"));
    assert_eq!(error.retry(), Retry::Other, "others may have the credit");
    assert!(error.is_unbilled());
}

/// A status says that nothing was done, unless it says that somebody stopped waiting, or comes from a page on the way.
#[tokio::test]
async fn what_a_status_leaves_open_may_be_billed() {
    for (status, _, body, ..) in REFUSALS {
        let mut response = Response::new(vec![Bytes::from(body)]);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let request = Bytes::from(r#"{"model":"m","messages":[]}"#);
        let seen = play(OpenAi::new(), Operation::Chat, request, response)
            .await
            .1;
        let open = matches!(status, 408 | 502 | 504);
        assert_eq!(
            seen.result.unwrap_err().is_unbilled(),
            !open,
            "{status} {body}"
        );
    }
}

/// An error under status 200, with a status of its own.
#[tokio::test]
async fn who_has_begun_to_answer_may_charge_for_it() {
    const ERROR: &str = r#""error":{"code":502,"message":"gone"}"#;
    let chunk = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    let role = r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#;
    for (content_type, body, is_unbilled) in [
        ("application/json", format!("{{{ERROR}}}"), true),
        (
            "application/json",
            format!(r#"{{{ERROR},"choices":[]}}"#),
            false,
        ),
        (
            "application/json",
            format!(r#"{{{ERROR},"usage":{{"prompt_tokens":9}}}}"#),
            false,
        ),
        ("text/event-stream", format!("data: {{{ERROR}}}\n\n"), true),
        (
            "text/event-stream",
            format!("data: {role}\n\ndata: {{{ERROR}}}\n\n"),
            false,
        ),
        (
            "text/event-stream",
            format!("data: {chunk}\n\ndata: {{{ERROR}}}\n\n"),
            false,
        ),
    ] {
        let mut response = Response::new(vec![Bytes::from(body.clone())]);
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert("content-type", content_type);
        let request = Bytes::from(r#"{"model":"m","messages":[]}"#);
        let seen = play(OpenAi::new(), Operation::Chat, request, response)
            .await
            .1;
        assert_eq!(
            seen.result.unwrap_err().is_unbilled(),
            is_unbilled,
            "{body}"
        );
    }
}

#[tokio::test]
async fn r8_the_key_is_never_repeated() {
    // Also where cutting the text to its length would cut the key in two.
    for padding in [0, 280, 295, 400] {
        let text = format!("{}\u{1b}[31m{CANARY}\r\nused", "x".repeat(padding));
        let complaint = json!({"error": {"message": text, "code": "x", "param": CANARY}});
        let whole = (400, "application/json", complaint.to_string());
        let streamed = (200, "text/event-stream", format!("data: {complaint}\n\n"));
        let plain = (500, "text/plain", text.clone());
        for (status, content_type, body) in [whole, streamed, plain] {
            let mut response = Response::new(vec![Bytes::from(body)]);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let content_type = HeaderValue::from_static(content_type);
            response.headers_mut().insert("content-type", content_type);
            let request = Bytes::from(r#"{"model":"m","messages":[],"stream":true}"#);
            let (sent, seen) = play(OpenAi::new(), Operation::Chat, request, response).await;
            let error = seen.result.unwrap_err();
            let said = format!("{error:?} {error} {:?}", error.get_param());
            assert!(!said.contains("sk-canary"), "{said}");
            assert!(!error.message().contains(char::is_control), "{said}");
            assert!(error.message().chars().count() <= 301, "{said}");
            assert!(!format!("{sent:?}").contains(CANARY));
        }
    }
}
