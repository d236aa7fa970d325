use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame as BodyFrame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tower::{ServiceExt, load_shed::error::Overloaded, timeout::error::Elapsed};

use super::{openai::OpenAi, retry_after::retry_after, *};
use crate::{
    catalog::Deployment,
    error::{BoxError, Error, ErrorKind, Retry},
    json::RawObject,
    model::{BoxModelService, Call, CallContext, FinishReason, Frame, ModelRequest, ModelService},
};

type ScriptedBody = UnsyncBoxBody<Bytes, Error>;

const WHOLE: &str = r#"{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
const STREAM: &str = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";

fn respond(content_type: &'static str, body: ScriptedBody) -> Response<ScriptedBody> {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert("content-type", content_type);
    response
}

fn full(text: &'static str) -> ScriptedBody {
    let never = |never: Infallible| match never {};
    Full::new(Bytes::from(text)).map_err(never).boxed_unsync()
}

/// A body that says `text`, then nothing more.
fn open(text: &'static str, dropped: &Arc<AtomicBool>) -> ScriptedBody {
    struct OnDrop(Arc<AtomicBool>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let guard = OnDrop(dropped.clone());
    let text = (!text.is_empty()).then(|| Ok(BodyFrame::data(Bytes::from(text))));
    let frames = stream::iter(text)
        .chain(stream::pending())
        .map(move |frame| {
            let _held = &guard;
            frame
        });
    StreamBody::new(frames).boxed_unsync()
}

fn provider_of<T>(transport: T) -> HttpProvider<T> {
    let endpoint = Endpoint::new("p", "http://host/v1").expect("a URL");
    let deployment = Deployment::new("p", "m");
    HttpProvider::new(transport, deployment, endpoint, Arc::new(OpenAi::new()))
}

fn answering(
    make: impl Fn() -> Result<Response<ScriptedBody>, Error> + Clone + Send + 'static,
) -> impl ModelService {
    provider_of(tower::service_fn(move |_: Request<Bytes>| ready(make())))
}

fn request(stream: bool) -> ModelRequest {
    let body = format!(r#"{{"model":"m","messages":[],"stream":{stream}}}"#);
    let body = RawObject::parse(body.into()).unwrap();
    ModelRequest::chat(body, CallContext::new(Call::new("t")))
}

#[tokio::test]
async fn a_whole_answer_passes_byte_for_byte() {
    let service = answering(|| Ok(respond("application/json", full(WHOLE))));
    let answer = service.oneshot(request(false)).await.unwrap();
    assert_eq!(answer.meta.deployment.unwrap().id.as_str(), "p/m");
    let answer = answer.body.collect(1000).await.unwrap();
    assert_eq!(answer.data, [WHOLE]);
    assert_eq!(answer.end.finish, Some(FinishReason::Stop));
    assert_eq!(answer.end.usage.unwrap().input, 3);
}

#[tokio::test]
async fn an_answer_in_the_other_form_is_converted() {
    let service = answering(|| Ok(respond("application/json; charset=utf-8", full(WHOLE))));
    let answer = service.oneshot(request(true)).await.unwrap().body;
    let answer = answer.collect(1000).await.unwrap();
    assert!(!answer.whole && answer.data.len() == 2 && answer.end.usage_chunk.is_some());
    let again = String::from_utf8(answer.to_whole().unwrap().to_vec()).unwrap();
    assert!(again.contains(r#""content":"hi""#), "{again}");

    let service = answering(|| Ok(respond("text/event-stream", full(STREAM))));
    let answer = service.oneshot(request(false)).await.unwrap().body;
    assert!(answer.is_whole());
    let answer = answer.collect(1000).await.unwrap();
    assert_eq!(answer.end.usage.unwrap().output, 1);
    assert!(answer.data[0].starts_with(b"{"));
}

#[tokio::test]
async fn a_stream_without_a_content_type_is_read_as_what_was_asked_for() {
    let service = answering(|| Ok(Response::new(full(STREAM))));
    let answer = service.oneshot(request(true)).await.unwrap().body;
    assert_eq!(answer.collect(1000).await.unwrap().data.len(), 2);
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    for (content_type, body, stream, kind) in [
        ("text/html", "<html>", true, ErrorKind::Upstream),
        ("text/html", "<html>", false, ErrorKind::Upstream),
        ("application/json", "", false, ErrorKind::Upstream),
        ("application/json", "{}", false, ErrorKind::Upstream),
        (
            "application/json",
            r#"{"data":[]}"#,
            true,
            ErrorKind::Upstream,
        ),
        ("application/json", &WHOLE[..50], false, ErrorKind::Upstream),
        ("text/event-stream", "", true, ErrorKind::Cut),
        ("text/event-stream", "", false, ErrorKind::Cut),
    ] {
        let service = answering(move || Ok(respond(content_type, full(body))));
        let error = service.oneshot(request(stream)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{content_type} {body}");
        assert!(error.is_upstream());
    }
}

#[tokio::test]
async fn a_whole_answer_has_a_largest_size() {
    for (max, fits) in [(WHOLE.len(), true), (WHOLE.len() - 1, false)] {
        let answer = || ready(Ok::<_, Error>(respond("application/json", full(WHOLE))));
        let transport = tower::service_fn(move |_: Request<Bytes>| answer());
        let provider = provider_of(transport).max_answer(max);
        let answer = provider.oneshot(request(false)).await;
        assert_eq!(answer.is_ok(), fits);
        if let Err(error) = answer {
            assert_eq!(error.kind(), ErrorKind::Upstream);
        }
    }
}

#[tokio::test]
async fn transport_errors_keep_their_kind_or_mean_unreachable() {
    let service = answering(|| Err(Error::new(ErrorKind::Timeout, "slow")));
    let error = service.oneshot(request(false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!((error.provider(), error.model()), (Some("p"), Some("m")));

    let refused = || {
        ready(Err::<Response<ScriptedBody>, _>(std::io::Error::other(
            "refused",
        )))
    };
    let service = provider_of(tower::service_fn(move |_: Request<Bytes>| refused()));
    let error = service.oneshot(request(false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn towers_layers_around_a_transport_are_no_unreachable_provider() {
    // (error, its kind, whether a provider was asked)
    let late: fn() -> BoxError = || Elapsed::new().into();
    let full: fn() -> BoxError = || Overloaded::new().into();
    for (error, kind, asked) in [
        (late, ErrorKind::Timeout, true),
        (full, ErrorKind::Overloaded, false),
    ] {
        let transport = tower::service_fn(move |_: Request<Bytes>| {
            ready(Err::<Response<ScriptedBody>, _>(error()))
        });
        let error = provider_of(transport)
            .oneshot(request(false))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!((error.is_upstream(), error.is_unbilled()), (asked, !asked));
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_written_blames_nobody() {
    let service = answering(|| Err(Error::internal("nobody may be asked")));
    let mut request = request(true);
    request.body.set("stream_options", &1).unwrap();
    let error = service.oneshot(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!error.is_upstream());
}

#[tokio::test(start_paused = true)]
async fn the_service_resolves_with_the_first_frame_and_not_before() {
    let dropped = Arc::new(AtomicBool::new(false));
    let silent = dropped.clone();
    let service = answering(move || Ok(respond("text/event-stream", open(": ping\n\n", &silent))));
    let waiting = tokio::time::timeout(Duration::from_secs(60), service.oneshot(request(true)));
    assert!(waiting.await.is_err());
    assert!(dropped.load(Ordering::SeqCst), "dropping the future closes");
}

#[tokio::test(start_paused = true)]
async fn r10_dropping_the_body_closes_the_connection_at_once() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let service = answering(move || Ok(respond("text/event-stream", open(&STREAM[..70], &flag))));
    let mut body = service.oneshot(request(true)).await.unwrap().body;
    assert!(matches!(body.next().await, Some(Ok(Frame::Data(_)))));
    assert!(!dropped.load(Ordering::SeqCst));
    drop(body);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn the_terminal_signal_ends_the_answer_though_the_connection_stays_open() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let service = answering(move || Ok(respond("text/event-stream", open(STREAM, &flag))));
    let mut body = service.oneshot(request(true)).await.unwrap().body;
    while let Some(frame) = body.next().await {
        if let Frame::End(end) = frame.unwrap() {
            assert_eq!(end.usage.unwrap().output, 1);
        }
    }
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_drops_the_transports() {
    let never = |_: Request<Bytes>| pending::<Result<Response<ScriptedBody>, Error>>();
    let service = BoxModelService::new(provider_of(tower::service_fn(never)));
    let waiting = tokio::time::timeout(Duration::from_secs(1), service.oneshot(request(false)));
    assert!(waiting.await.is_err());
}

#[test]
fn r22_an_endpoint_is_one_host_and_nothing_else() {
    for (base, path, wanted) in [
        (
            "https://h/v1",
            "/chat/completions",
            "https://h/v1/chat/completions",
        ),
        ("https://h/v1/", "/x", "https://h/v1/x"),
        ("http://h:8080", "/x", "http://h:8080/x"),
        (
            "https://h/openai?api-version=1",
            "/x",
            "https://h/openai/x?api-version=1",
        ),
        ("https://h", "//evil.test/x", "https://h//evil.test/x"),
    ] {
        let endpoint = Endpoint::new("p", base).unwrap();
        assert_eq!(endpoint.uri(path).unwrap(), wanted);
    }
    for path in ["@evil.test/x", ".evil.test/x", " /x", ":80/x"] {
        let endpoint = Endpoint::new("p", "https://h").unwrap();
        let host = endpoint.uri(path).map(|uri| uri.host().map(str::to_owned));
        assert!(
            host.is_err() || host.unwrap().as_deref() == Some("h"),
            "{path}"
        );
    }
    for base in [
        "h/v1",
        "/v1",
        "ftp://h",
        "https://u:p@h/v1",
        "https://",
        "not a url",
    ] {
        assert!(Endpoint::new("p", base).is_err(), "{base}");
    }
}

#[test]
fn r8_secrets_are_not_printed() {
    let secret = Secret::new(" sk-canary-123456 ").unwrap();
    let mut header = HeaderValue::from_static("canary-header-1");
    header.set_sensitive(true);
    let endpoint = Endpoint::new("p", "https://h")
        .unwrap()
        .key(secret.clone())
        .header(HeaderName::from_static("x-extra"), header);
    let debug = format!(
        "{secret:?} {endpoint:?} {:?} {:?}",
        secret.bearer(),
        secret.plain()
    );
    assert!(!debug.contains("canary"), "{debug}");
    let text = "key sk-canary-123456, header canary-header-1";
    assert_eq!(endpoint.clean(text), "key [redacted], header [redacted]");
    for wrong in ["", "  ", "a b", "ключ", "a\nb"] {
        assert!(Secret::new(wrong).is_err());
    }
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    let date = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
    for (name, value, millis) in [
        ("retry-after", "7", Some(7000)),
        ("retry-after", "0.5", Some(500)),
        ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000)),
        ("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
        ("retry-after", "99999999999", Some(86_400_000)),
        ("retry-after", "-1", None),
        ("retry-after", "NaN", None),
        ("retry-after", "soon", None),
        ("retry-after-ms", "250", Some(250)),
        ("x-other", "1", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        let after = retry_after(&headers, date);
        assert_eq!(after, millis.map(Duration::from_millis), "{name}: {value}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_words_never_come_is_known_by_its_status() {
    for (words, message) in [("", None), ("out of order", Some("out of order"))] {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = dropped.clone();
        let service = answering(move || {
            let mut response = respond("text/plain", open(words, &flag));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            let after = HeaderValue::from_static("7");
            response.headers_mut().insert("retry-after", after);
            Ok(response)
        });
        let asked = tokio::time::timeout(Duration::from_secs(5), service.oneshot(request(true)));
        let error = asked.await.expect("in time").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(
            error.get_upstream_status(),
            Some(StatusCode::SERVICE_UNAVAILABLE)
        );
        assert_eq!(error.get_retry_after(), Some(Duration::from_secs(7)));
        assert!(error.is_unbilled());
        assert!(message.is_none_or(|message| error.message() == message));
        assert!(dropped.load(Ordering::SeqCst), "it is closed");
    }
}

/// Some models send a picture in one event. It is paid for when it comes.
#[tokio::test]
async fn a_large_event_passes_and_one_that_is_too_large_is_not_bought_again() {
    let picture = "x".repeat(2 << 20);
    let stream = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"images\":[\"{picture}\"]}}}}]}}\n\ndata: [DONE]\n\n"
    );
    let asked = |max: Option<usize>, streamed| {
        let stream = stream.clone();
        let transport = tower::service_fn(move |_: Request<Bytes>| {
            let never = |never: Infallible| match never {};
            let body = Full::new(Bytes::from(stream.clone())).map_err(never);
            ready(Ok::<_, Error>(respond(
                "text/event-stream",
                body.boxed_unsync(),
            )))
        });
        let provider = provider_of(transport);
        let provider = match max {
            Some(max) => provider.max_answer(max),
            None => provider,
        };
        provider.oneshot(request(streamed))
    };
    let answer = asked(None, true).await.unwrap().body;
    let answer = answer.collect(usize::MAX).await.unwrap();
    assert!(answer.data[0].len() > picture.len());
    for streamed in [true, false] {
        let error = asked(Some(2 << 20), streamed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Upstream);
        assert_eq!(error.retry(), Retry::Never);
        assert!(!error.is_unbilled());
    }
}
