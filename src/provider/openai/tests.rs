use std::sync::Arc;

use super::*;
use crate::{
    error::ErrorKind,
    json::RawObject,
    model::{Call, CallContext, Frame, Operation, TokenBound},
};

fn write(dialect: OpenAi, op: Operation, body: &'static str) -> Result<Request<Bytes>, Error> {
    let body = RawObject::parse(body.into()).unwrap();
    let mut d = Deployment::new("p", "auto");
    d.upstream = Arc::from("up/stream");
    write_to(dialect, op, body, &d)
}

fn write_to(
    dialect: OpenAi,
    op: Operation,
    body: RawObject,
    d: &Deployment,
) -> Result<Request<Bytes>, Error> {
    let req = ModelRequest::new(op, body, CallContext::new(Call::new("t")));
    dialect.request(&req, d, &Endpoint::new("p", "http://h/v1").unwrap())
}

#[track_caller]
fn sent(op: Operation, body: &'static str) -> String {
    let request = write(OpenAi::new(), op, body).unwrap();
    String::from_utf8(request.into_body().to_vec()).unwrap()
}

#[test]
fn a_request_changes_only_where_it_must() {
    use Operation::{Chat, Embeddings};
    for (op, client, provider) in [
        (
            Chat,
            r#"{"model":"up/stream", "n":1.0 }"#,
            r#"{"model":"up/stream", "n":1.0 }"#,
        ),
        (
            Chat,
            r#"{ "a":1, "model":"auto"}"#,
            r#"{ "a":1, "model":"up/stream"}"#,
        ),
        (Chat, r#"{"a":1}"#, r#"{"a":1,"model":"up/stream"}"#),
        (
            Chat,
            r#"{"model":"up/stream","stream":true}"#,
            r#"{"model":"up/stream","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            Chat,
            r#"{"model":"up/stream","stream":true,"stream_options":null}"#,
            r#"{"model":"up/stream","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            Chat,
            r#"{"stream_options":{"x":[1], "include_usage":false},"model":"up/stream","stream":true}"#,
            r#"{"stream_options":{"x":[1], "include_usage":true},"model":"up/stream","stream":true}"#,
        ),
        (
            Chat,
            r#"{"stream_options":{ "include_usage":true },"model":"up/stream","stream":true}"#,
            r#"{"stream_options":{ "include_usage":true },"model":"up/stream","stream":true}"#,
        ),
        (
            Embeddings,
            r#"{"model":"up/stream","input":"a","stream":true}"#,
            r#"{"model":"up/stream","input":"a","stream":true}"#,
        ),
    ] {
        assert_eq!(sent(op, client), provider);
    }
}

#[test]
fn stream_options_of_another_type_are_the_clients_fault() {
    let body = r#"{"model":"a","stream":true,"stream_options":"yes"}"#;
    let error = write(OpenAi::new(), Operation::Chat, body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.get_param(), Some("stream_options"));
    let accepting = OpenAi::new().metering(Metering::Accept);
    let request = write(accepting, Operation::Chat, body).unwrap();
    assert_eq!(request.uri(), "http://h/v1/chat/completions");
    assert!(!String::from_utf8_lossy(request.body()).contains("include_usage"));
}

/// The frames of a stream's body in one chunk, and the error that ended them.
fn decode(terminal: Terminal, body: &'static str) -> (Vec<Frame>, Option<Error>) {
    let mut chunks = stream::Chunks::new(terminal, 1, usize::MAX);
    chunks.push(Bytes::from_static(body.as_bytes()));
    let mut frames = Vec::new();
    let mut next = || match chunks.next_frame() {
        Ok(None) => chunks.finish(),
        Ok(Some(frame)) => Ok(frame),
        Err(error) => Err(error),
    };
    loop {
        match next() {
            Ok(frame) => frames.push(frame),
            Err(error) => return (frames, Some(error)),
        }
        if let Some(Frame::End(_)) = frames.last() {
            return (frames, None);
        }
    }
}

#[test]
fn an_untouched_chunk_is_a_slice_of_what_arrived() {
    let body = "data: {\"choices\":[{\"finish_reason\":null}],\"usage\":null}\n\ndata: [DONE]\n\n";
    let (frames, error) = decode(Terminal::Done, body);
    assert!(error.is_none());
    let [Frame::Data(data), Frame::End(_)] = &frames[..] else {
        unreachable!("{frames:?}")
    };
    assert!(body.as_bytes().as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn pings_comments_and_empty_events_are_not_data() {
    let body =
        ": hi\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\ndata:\n\nid: 1\n\ndata: [DONE]\n\n";
    let (frames, error) = decode(Terminal::Done, body);
    assert!(error.is_none());
    assert!(matches!(&frames[..], [Frame::End(_)]));
}

#[test]
fn what_is_no_chunk_is_an_error_of_the_provider() {
    for body in [
        "data: <html>\n\n",
        "data: hello\n\n",
        "data: {\"choices\":[\n\n",
        "data: {\"usage\":{\"prompt_tokens\":1},,}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":1},\"a\":1,\"a\":2}\n\n",
    ] {
        let error = decode(Terminal::Done, body).1.unwrap();
        assert_eq!(error.kind(), ErrorKind::Upstream, "{body}");
    }
}

#[test]
fn error_events_get_the_kind_that_their_words_mean() {
    for (event, kind) in [
        (
            r#"data: {"error":{"message":"m","code":503}}"#,
            ErrorKind::Unavailable,
        ),
        (
            r#"data: {"error":{"message":"m","type":"overloaded_error"}}"#,
            ErrorKind::Unavailable,
        ),
        (
            r#"data: {"error":{"message":"m","type":"invalid_request_error"}}"#,
            ErrorKind::Invalid,
        ),
        (
            r#"data: {"error":{"message":"m","code":"rate_limit_exceeded"}}"#,
            ErrorKind::RateLimited,
        ),
        (r#"data: {"error":"m"}"#, ErrorKind::Upstream),
        (
            r#"data: {"choices":[{"delta":{},"finish_reason":"error"}],"error":{"code":429,"message":"m"}}"#,
            ErrorKind::RateLimited,
        ),
        (
            "event: error\ndata: {\"message\":\"m\"}",
            ErrorKind::Upstream,
        ),
        ("event: error\ndata: m", ErrorKind::Upstream),
    ] {
        let body = format!("{event}\n\ndata: [DONE]\n\n").leak();
        let (frames, error) = decode(Terminal::Done, body);
        let error = error.unwrap();
        assert!(frames.is_empty(), "{event}");
        assert_eq!((error.kind(), error.message()), (kind, "m"), "{event}");
    }
}

#[test]
fn text_about_errors_and_a_null_error_are_no_error() {
    let body = "data: {\"error\":null,\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\":{} and \\\"usage\\\":1\"}}]}\n\ndata: [DONE]\n\n";
    let (frames, error) = decode(Terminal::Done, body);
    assert!(error.is_none());
    assert_eq!(frames.len(), 2);
}

#[test]
fn a_finish_reason_ends_the_stream_only_where_configured_and_only_for_all_choices() {
    let one = "data: {\"choices\":[{\"index\":1,\"finish_reason\":\"stop\"}]}\n\n";
    assert!(decode(Terminal::FinishReason, one).1.is_none());
    assert_eq!(
        decode(Terminal::Done, one).1.unwrap().kind(),
        ErrorKind::Cut
    );
    let two = "data: {\"choices\":[{\"index\":0,\"delta\":{}}]}\n\ndata: {\"choices\":[{\"index\":1,\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(
        decode(Terminal::FinishReason, two).1.unwrap().kind(),
        ErrorKind::Cut
    );
    let error = decode(Terminal::FinishReason, "").1.unwrap();
    assert_eq!(error.kind(), ErrorKind::Cut);
}

/// R14: what comes before the first content and says nothing is held back until there is some.
#[test]
fn r14_an_opening_without_content_waits_for_the_content() {
    const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":null},"finish_reason":null}]}"#;
    const FILTERS: &str = r#"{"choices":[],"prompt_filter_results":[]}"#;
    let content = [
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning":"a"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":"unheard of"}"#,
    ];
    for content in content {
        let mut opening = opening::Opening::new(stream::Chunks::new(Terminal::Done, 1, usize::MAX));
        opening.push(format!("data: {FILTERS}\n\ndata: {ROLE}\n\n").into());
        assert!(opening.next_frame().unwrap().is_none(), "{content}");
        opening.push(format!("data: {content}\n\n").into());
        for expected in [FILTERS, ROLE, content] {
            let frame = opening.next_frame().unwrap();
            assert!(
                matches!(frame, Some(Frame::Data(data)) if data == expected),
                "{content}"
            );
        }
        opening.push(format!("data: {ROLE}\n\n").into());
        assert!(
            opening.next_frame().unwrap().is_some(),
            "later ones are not held"
        );
    }
    let mut opening = opening::Opening::new(stream::Chunks::new(Terminal::Done, 1, usize::MAX));
    opening.push(format!("data: {ROLE}\n\ndata: {{\"error\":{{\"message\":\"no\"}}}}\n\n").into());
    assert_eq!(
        opening.next_frame().unwrap_err().kind(),
        ErrorKind::Upstream
    );
    let mut opening = opening::Opening::new(stream::Chunks::new(Terminal::Done, 1, usize::MAX));
    opening.push(format!("data: {ROLE}\n\n").into());
    assert!(opening.next_frame().unwrap().is_none());
    assert_eq!(opening.finish().unwrap_err().kind(), ErrorKind::Cut);
    let mut opening = opening::Opening::new(stream::Chunks::new(Terminal::Done, 1, usize::MAX));
    opening.push(format!("data: {ROLE}\n\n").repeat(100).into());
    assert!(opening.next_frame().unwrap().is_some(), "there is a limit");
}

#[test]
fn servers_that_know_the_old_name_of_the_limit_only_are_sent_that_one() {
    let old = OpenAi::new().output_limit(OutputLimit::MaxTokens);
    for (client, provider) in [
        (
            r#"{"model":"up/stream","max_completion_tokens":8,"n":1}"#,
            r#"{"model":"up/stream","n":1,"max_tokens":8}"#,
        ),
        (
            r#"{"model":"up/stream","max_completion_tokens":8,"max_tokens":5}"#,
            r#"{"model":"up/stream","max_tokens":5}"#,
        ),
        (
            r#"{"model":"up/stream","max_tokens":0,"max_completion_tokens":8}"#,
            r#"{"model":"up/stream","max_tokens":8}"#,
        ),
        (
            r#"{"model":"up/stream","max_completion_tokens":null}"#,
            r#"{"model":"up/stream","max_completion_tokens":null}"#,
        ),
        (
            r#"{"model":"up/stream","max_tokens":5}"#,
            r#"{"model":"up/stream","max_tokens":5}"#,
        ),
    ] {
        let request = write(old, Operation::Chat, client).unwrap();
        assert_eq!(request.into_body(), provider);
        assert_eq!(sent(Operation::Chat, client), client, "as it is asked for");
    }
}

#[test]
fn a_call_without_a_limit_is_sent_the_cap_of_its_deployment_if_it_fits() {
    let capped = Deployment {
        output_cap: Some(100),
        context_window: Some(150),
        ..Deployment::new("p", "m")
    };
    let listed = Deployment {
        max_output: Some(80),
        ..capped.clone()
    };
    let known = Deployment {
        output_cap: None,
        ..listed.clone()
    };
    let none = r#"{"model":"m"}"#;
    let long = format!(r#"{{"model":"m","user":"{}"}}"#, "x".repeat(100));
    let cases = [
        (
            &capped,
            none,
            r#"{"model":"m","max_completion_tokens":100}"#,
        ),
        // The configuration knows better than the list.
        (
            &listed,
            none,
            r#"{"model":"m","max_completion_tokens":100}"#,
        ),
        // Its vendor limits the answer.
        (&known, none, none),
        (&capped, &long, &long),
        (
            &capped,
            r#"{"model":"m","max_tokens":900}"#,
            r#"{"model":"m","max_tokens":900}"#,
        ),
        (
            &capped,
            r#"{"model":"m","max_tokens":0}"#,
            r#"{"model":"m","max_completion_tokens":100}"#,
        ),
        (
            &capped,
            r#"{"model":"m","max_tokens":0,"max_completion_tokens":8}"#,
            r#"{"model":"m","max_completion_tokens":8}"#,
        ),
        (
            &capped,
            r#"{"model":"m","max_completion_tokens":0,"max_tokens":8}"#,
            r#"{"model":"m","max_completion_tokens":8}"#,
        ),
        (
            &capped,
            r#"{"model":"m","max_tokens":0,"max_completion_tokens":200000}"#,
            r#"{"model":"m","max_completion_tokens":100}"#,
        ),
        (
            &capped,
            r#"{"model":"m","max_completion_tokens":0,"max_tokens":200000}"#,
            r#"{"model":"m","max_completion_tokens":100}"#,
        ),
        (
            &capped,
            r#"{"model":"m","max_completion_tokens":null}"#,
            r#"{"model":"m","max_completion_tokens":100}"#,
        ),
    ];
    let body = |text: &str| RawObject::parse(text.to_owned().into()).unwrap();
    for (d, client, provider) in cases {
        let request = write_to(OpenAi::new(), Operation::Chat, body(client), d).unwrap();
        assert_eq!(request.into_body(), provider.as_bytes(), "{client}");
    }
    let old = OpenAi::new().output_limit(OutputLimit::MaxTokens);
    let request = write_to(old, Operation::Chat, body(none), &capped).unwrap();
    assert_eq!(
        request.into_body(),
        &br#"{"model":"m","max_tokens":100}"#[..]
    );
    let request = write_to(old, Operation::Embeddings, body(none), &capped).unwrap();
    assert_eq!(request.into_body(), none.as_bytes());
}

/// Whatever a client says, a budget has held as much as the provider is allowed.
#[test]
fn no_provider_is_allowed_a_longer_answer_than_was_reserved() {
    let limits = ["", "null", "0", "1", "99", "100", "101", "200000"];
    let limits = limits.iter().flat_map(|new| limits.map(|old| (*new, old)));
    for (max_output, output_cap) in [
        (None, Some(100)),
        (Some(80), Some(100)),
        (Some(300), Some(100)),
        (Some(80), None),
        (None, None),
    ] {
        let d = Deployment {
            max_output,
            output_cap,
            context_window: Some(500),
            ..Deployment::new("p", "m")
        };
        for ((new, old), user) in limits.clone().flat_map(|both| [0, 900].map(|n| (both, n))) {
            let mut body = format!(r#"{{"model":"m","user":"{}""#, "x".repeat(user));
            for (name, limit) in [("max_completion_tokens", new), ("max_tokens", old)] {
                if !limit.is_empty() {
                    body += &format!(r#","{name}":{limit}"#);
                }
            }
            let body = RawObject::parse((body + "}").into()).unwrap();
            let req = ModelRequest::chat(body.clone(), CallContext::new(Call::new("t")));
            let held = TokenBound::of(&req, &d).unwrap().output;
            for names in [OutputLimit::MaxTokens, OutputLimit::default()] {
                let dialect = OpenAi::new().output_limit(names);
                let sent = write_to(dialect, Operation::Chat, body.clone(), &d).unwrap();
                let sent = RawObject::parse(sent.into_body()).unwrap();
                let limits = [
                    sent.get_as("max_completion_tokens"),
                    sent.get_as("max_tokens"),
                ];
                let limits = limits.map(|limit| limit.unwrap());
                let allowed = match limits.iter().flatten().max() {
                    // Zero is none, and undoes the other.
                    Some(most) if !limits.contains(&Some(0)) => *most,
                    _ => max_output.unwrap_or(u64::MAX),
                };
                assert!(
                    allowed.min(500) <= held,
                    "{new} {old} {max_output:?} {output_cap:?}"
                );
            }
        }
    }
}

#[test]
fn the_end_of_a_stream_need_not_end_its_line() {
    let chunk = "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n";
    for (last, whole) in [
        ("data: [DONE]", true),
        ("data:[DONE]", true),
        ("data: [DON", false),
    ] {
        let body: &'static str = format!("{chunk}{last}").leak();
        let (frames, error) = decode(Terminal::Done, body);
        assert_eq!(error.is_none(), whole, "{last}");
        assert_eq!(
            matches!(frames.last(), Some(Frame::End(_))),
            whole,
            "{last}"
        );
    }
}

#[test]
fn what_a_prompt_is_refused_for_says_nothing_about_the_key() {
    let flagged = br#"{"error":{"code":403,"message":"flagged","metadata":{"reasons":["violence"],"flagged_input":"x"}}}"#;
    let forbidden = br#"{"error":{"code":403,"message":"no","metadata":{"provider_name":"x"}}}"#;
    let kind = |body| error::read(StatusCode::FORBIDDEN, body).kind();
    assert_eq!(kind(&flagged[..]), ErrorKind::Refused);
    assert_eq!(kind(&forbidden[..]), ErrorKind::Upstream);
}

#[test]
fn a_finish_reason_ends_a_stream_when_as_many_answers_have_one_as_were_asked_for_or_the_only_one() {
    let answer = |index: u64| {
        format!("data: {{\"choices\":[{{\"index\":{index},\"finish_reason\":\"stop\"}}]}}\n\n")
    };
    let ended = |body: &'static str, answers: u64| {
        let body = RawObject::parse(body.into()).unwrap();
        let req = ModelRequest::chat(body, CallContext::new(Call::new("t")));
        let dialect = OpenAi::new().terminal(Terminal::FinishReason);
        let mut decode = dialect.stream(&req, usize::MAX);
        decode.push((0..answers).map(answer).collect::<String>().into());
        while decode.next_frame().unwrap().is_some() {}
        decode.finish().map_err(|error| error.kind())
    };
    let [three, one] = [r#"{"model":"m","n":3}"#, r#"{"model":"m","n":0}"#];
    assert_eq!(ended(three, 2).unwrap_err(), ErrorKind::Cut);
    assert!(matches!(ended(three, 3), Ok(Frame::End(_))));
    assert!(matches!(ended(three, 1), Ok(Frame::End(_))), "it ignores n");
    assert!(matches!(ended(one, 1), Ok(Frame::End(_))));
}
