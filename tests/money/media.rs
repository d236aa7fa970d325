//! What a request refers to is in its bound, however it is spelled.

use rungs::{
    catalog::Deployment,
    json::RawObject,
    model::{Call, CallContext, ModelRequest, Operation, TokenBound},
};

fn deployment() -> Deployment {
    Deployment {
        max_output: Some(100),
        ..Deployment::new("p", "m")
    }
}

/// How many media the bound of a body reckons with.
fn media(op: Operation, body: &str) -> u64 {
    let deployment = deployment();
    let request = |body: &str| {
        let body = RawObject::parse(body.to_owned().into()).unwrap();
        ModelRequest::new(op, body, CallContext::new(Call::new("t")))
    };
    let input = |body: &str| TokenBound::of(&request(body), &deployment).unwrap().input;
    let empty = input("{}");
    (input(body) + 2 - body.len() as u64 - empty) / 50_000
}

fn in_content(content: &str) -> u64 {
    let messages = format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
    media(Operation::Chat, &messages)
}

#[test]
fn text_is_no_medium() {
    for text in [
        r#""an \"image_url\" and a \"file\"""#,
        "null",
        r#"[{"type":"text","text":"\"image_url\"","cache_control":{"type":"ephemeral"}}]"#,
        r#"["a", {"type":"refusal","refusal":"no"}]"#,
    ] {
        assert_eq!(in_content(text), 0, "{text}");
    }
    let call = r#"{"messages":[{"role":"assistant","content":null,"function_call":{"name":"f"},
        "tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}}]}],
        "tools":[],"response_format":{"type":"json_object"}}"#;
    assert_eq!(media(Operation::Chat, call), 0);
}

#[test]
fn every_part_that_is_no_text_is_a_medium() {
    for part in [
        r#"{"type":"image_url","image_url":{"url":"https://a.b/c"}}"#,
        r#"{"type":"image_url","image_url":"https://a.b/c"}"#,
        r#"{"type":"input_audio","input_audio":{"data":"","format":"wav"}}"#,
        r#"{"type":"file","file":{"file_id":"f"}}"#,
        r#"{"type":"video_url","video_url":{"url":"https://a.b/c"}}"#,
        r#"{"image_url":{"url":"https://a.b/c"}}"#,
        r#"{"type":"text","type":"image_url","image_url":"x"}"#,
        r#"{"type":7}"#,
    ] {
        assert_eq!(in_content(&format!("[{part}]")), 1, "{part}");
        assert_eq!(in_content(part), 1, "{part}");
        let text = r#"{"type":"text","text":"t"}"#;
        assert_eq!(in_content(&format!("[{part},{text},{part}]")), 2, "{part}");
    }
}

#[test]
fn escapes_hide_nothing() {
    let part = r#"{"t\u0079pe":"image\u005furl","image\u005furl":{"url":"https://a.b/c"}}"#;
    assert_eq!(in_content(&format!("[{part}]")), 1);
    let body = format!(r#"{{"messages":[{{"role":"user","c\u006fntent":[{part},{part}]}}]}}"#);
    assert_eq!(media(Operation::Chat, &body), 2);
    let body = format!(r#"{{"m\u0065ssages":[{{"role":"user","content":[{part}]}}]}}"#);
    assert_eq!(media(Operation::Chat, &body), 1);
}

#[test]
fn media_lie_within_results_and_twice_named_contents() {
    let image = r#"{"type":"image_url","image_url":{"url":"u"}}"#;
    let result = format!(r#"[{{"type":"tool_result","content":[{image},{image}]}}]"#);
    assert_eq!(in_content(&result), 3);
    assert_eq!(in_content(&format!(r#""a","content":[{image}]"#)), 1);
    let spoken = r#"{"messages":[{"role":"assistant","audio":{"id":"a"}}]}"#;
    assert_eq!(media(Operation::Chat, spoken), 1);
}

/// Providers that are written in Go do not mind capitals.
#[test]
fn capitals_hide_nothing() {
    let image = r#"{"type":"image_url","image_url":{"url":"u"}}"#;
    let body = format!(r#"{{"messages":[{{"role":"user","Content":[{image}]}}]}}"#);
    assert_eq!(media(Operation::Chat, &body), 1);
    let part = r#"[{"type":"text","text":"t","TYPE":"image_url"}]"#;
    assert_eq!(in_content(part), 1);
}

/// vLLM looks for pictures first in a part with a `uuid`.
#[test]
fn a_text_with_a_medium_is_no_text() {
    for part in [
        r#"{"type":"text","text":"t","uuid":"u","image_url":{"url":"u"}}"#,
        r#"{"type":"text","text":"t","uuid":"u","image_url":"u"}"#,
        r#"{"type":"text","text":[{"type":"image_url"}]}"#,
    ] {
        assert_eq!(in_content(&format!("[{part}]")), 1, "{part}");
    }
}

/// `OpenRouter` takes back what its answers had beside their text.
#[test]
fn media_lie_beside_the_content_too() {
    let image = r#"{"type":"image_url","image_url":{"url":"u"}}"#;
    let message = |member: &str| {
        let body = format!(r#"{{"messages":[{{"role":"assistant","content":"t",{member}}}]}}"#);
        media(Operation::Chat, &body)
    };
    assert_eq!(message(&format!(r#""images":[{image},{image}]"#)), 2);
    let file = format!(r#"{{"type":"file","file":{{"hash":"h","content":[{image},{image}]}}}}"#);
    assert_eq!(message(&format!(r#""annotations":[{file}]"#)), 3);
    let source = r#"{"type":"url_citation","url_citation":{"url":"u","title":"t"}}"#;
    assert_eq!(message(&format!(r#""annotations":[{source}]"#)), 0);
    let thought = r#"{"type":"reasoning.encrypted","data":"d"}"#;
    assert_eq!(message(&format!(r#""reasoning_details":[{thought}]"#)), 0);
}

#[test]
fn what_has_another_form_counts_as_much_as_it_can_hold() {
    let body = r#"{"messages":{"role":"user","content":[{"type":"image_url"}]}}"#;
    assert_eq!(media(Operation::Chat, body), 2);
    let body = r#"{"messages":["a",{"content":[{}]}]}"#;
    assert_eq!(media(Operation::Chat, body), 2);
}

#[test]
fn embeddings_embed_media_too() {
    let media = |input| media(Operation::Embeddings, &format!(r#"{{"input":{input}}}"#));
    assert_eq!(media(r#""{text}""#), 0);
    assert_eq!(media(r#"["a","b"]"#), 0);
    assert_eq!(media("[[1,2],[3]]"), 0);
    assert_eq!(media(r#"["a",{"image":"https://a.b/c"}]"#), 1);
    assert_eq!(media(r#"{"image":"https://a.b/c"}"#), 1);
    let beside = r#""a","messages":[{"content":[{"type":"image_url","image_url":"u"}]}]"#;
    assert_eq!(media(beside), 1);
}

#[test]
fn an_edit_is_counted_anew() {
    let deployment = deployment();
    let image = r#"{"type":"image_url","image_url":{"url":"u"}}"#;
    let body = format!(r#"{{"messages":[{{"role":"user","content":[{image}]}}]}}"#);
    let mut request = ModelRequest::chat(
        RawObject::parse(body.into()).unwrap(),
        CallContext::new(Call::new("t")),
    );
    let bound = |request: &ModelRequest| TokenBound::of(request, &deployment).unwrap().input;
    let kept = request.clone();
    assert!((50_000..100_000).contains(&bound(&request)));
    request.body.set("messages", &["a"]).unwrap();
    assert!(bound(&request) < 50_000);
    assert!(bound(&kept) >= 50_000);
}
