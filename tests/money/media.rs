//! What a request refers to is in its bound, however it is spelled.

use rungs::{
    catalog::{Deployment, Money, Price},
    json::RawObject,
    model::{Call, CallContext, ModelRequest, Operation, TokenBound},
};

const WINDOW: u64 = 1 << 50;

fn deployment() -> Deployment {
    Deployment {
        max_output: Some(100),
        context_window: Some(WINDOW),
        ..Deployment::new("p", "m")
    }
}

/// What the bound of a body reckons with beside its text.
#[derive(Debug, PartialEq, Eq)]
enum Beside {
    Pictures(u64),
    /// What may be as long as can be.
    File,
    /// And has a price of its own.
    Other,
}

use Beside::{File, Other, Pictures};

fn media(op: Operation, body: &str) -> Beside {
    let deployment = deployment().price(Price::per_million(Money::from_nanos(1), Money::ZERO));
    let request = |body: &str| {
        let body = RawObject::parse(body.to_owned().into()).unwrap();
        ModelRequest::new(op, body, CallContext::new(Call::new("t")))
    };
    let input = |body: &str| TokenBound::of(&request(body), &deployment).unwrap().input;
    let empty = input("{}");
    match input(body) {
        WINDOW if TokenBound::covers(&request(body), &deployment).is_err() => Other,
        WINDOW => File,
        said => Pictures((said + 2 - body.len() as u64 - empty) / 50_000),
    }
}

fn in_content(content: &str) -> Beside {
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
        assert_eq!(in_content(text), Pictures(0), "{text}");
    }
    let call = r#"{"messages":[{"role":"assistant","content":null,"function_call":{"name":"f"},
        "tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}}]}],
        "tools":[],"response_format":{"type":"json_object"}}"#;
    assert_eq!(media(Operation::Chat, call), Pictures(0));
}

#[test]
fn every_part_that_is_no_text_is_a_medium() {
    let image = r#"{"type":"image_url","image_url":{"url":"https://a.b/c","detail":"high"}}"#;
    let text = r#"{"type":"text","text":"t"}"#;
    assert_eq!(in_content(image), Pictures(1));
    assert_eq!(
        in_content(&format!("[{image},{text},{image}]")),
        Pictures(2)
    );
    for (part, beside) in [
        (
            r#"{"type":"image_url","image_url":"https://a.b/c"}"#,
            Pictures(1),
        ),
        (
            r#"{"type":"input_image","image_url":"data:image/png;base64,AA"}"#,
            Pictures(1),
        ),
        (
            r#"{"type":"image_url","image_url":{"url":"HTTPS:\/\/a.b\/c"}}"#,
            Pictures(1),
        ),
        (
            r#"{"type":"text","text":"t","image_url":null,"input_audio":null}"#,
            Pictures(0),
        ),
        (r#"{"type":"file","file":{"file_id":"f"}}"#, File),
        (
            r#"{"type":"file","file":{"filename":"f.pdf","file_data":"https://a.b/c.pdf"}}"#,
            File,
        ),
        (
            r#"{"type":"input_file","file_url":"https://a.b/c.pdf"}"#,
            File,
        ),
        (
            r#"{"type":"input_audio","input_audio":{"data":"","format":"wav"}}"#,
            Other,
        ),
        (
            r#"{"type":"video_url","video_url":{"url":"https://a.b/c"}}"#,
            Other,
        ),
        (
            r#"{"type":"file","file":{"file_id":"f"},"input_audio":{}}"#,
            Other,
        ),
        (r#"{"image_url":{"url":"https://a.b/c"}}"#, Other),
        (r#"{"type":7}"#, Other),
    ] {
        assert_eq!(in_content(&format!("[{part}]")), beside, "{part}");
        assert_eq!(in_content(part), beside, "{part}");
    }
}

/// Some providers take whatever is in a reference to a picture for what it says it is.
#[test]
fn a_picture_that_may_be_something_else_is_none() {
    for reference in [
        r#""data:application/pdf;base64,AA""#,
        r#"{"url":"DATA:video/mp4;base64,AA"}"#,
        r#"{"url":"d\u0061ta:application/pdf;base64,AA"}"#,
        r#"{"url":" data:application/pdf;base64,AA"}"#,
        r#"{"url":"gs://bucket/clip"}"#,
        r#"{"url":"https://a.b/c","video":"https://a.b/d"}"#,
        r#"{"url":["data:image/png;base64,AA"]}"#,
        r#"{"url":"data:application/pdf;base64,AA","url":"https://a.b/c"}"#,
        "[]",
    ] {
        let part = format!(r#"{{"type":"image_url","image_url":{reference}}}"#);
        assert_eq!(in_content(&format!("[{part}]")), Other, "{part}");
    }
}

#[test]
fn escapes_hide_nothing() {
    let part = r#"{"t\u0079pe":"image\u005furl","image\u005furl":{"url":"https://a.b/c"}}"#;
    assert_eq!(in_content(&format!("[{part}]")), Pictures(1));
    let body = format!(r#"{{"messages":[{{"role":"user","c\u006fntent":[{part},{part}]}}]}}"#);
    assert_eq!(media(Operation::Chat, &body), Pictures(2));
    let body = format!(r#"{{"m\u0065ssages":[{{"role":"user","content":[{part}]}}]}}"#);
    assert_eq!(media(Operation::Chat, &body), Pictures(1));
}

#[test]
fn media_lie_within_results_and_twice_named_contents() {
    let image = r#"{"type":"image_url","image_url":{"url":"https://u"}}"#;
    let result = format!(r#"[{{"type":"tool_result","content":[{image},{image}]}}]"#);
    assert_eq!(in_content(&result), Other);
    assert_eq!(
        in_content(&format!(r#""a","content":[{image}]"#)),
        Pictures(1)
    );
    let spoken = r#"{"messages":[{"role":"assistant","audio":{"id":"a"}}]}"#;
    assert_eq!(media(Operation::Chat, spoken), Other);
}

/// Providers that are written in Go do not mind capitals.
#[test]
fn capitals_hide_nothing() {
    let image = r#"{"type":"image_url","image_url":{"url":"https://u"}}"#;
    let body = format!(r#"{{"messages":[{{"role":"user","Content":[{image}]}}]}}"#);
    assert_eq!(media(Operation::Chat, &body), Pictures(1));
    let part = r#"[{"type":"text","text":"t","TYPE":"image_url"}]"#;
    assert_eq!(in_content(part), Other);
}

/// vLLM looks for pictures first in a part with a `uuid`.
#[test]
fn a_text_with_a_medium_is_no_text() {
    for (part, beside) in [
        (
            r#"{"type":"text","text":"t","uuid":"u","image_url":{"url":"https://u"}}"#,
            Other,
        ),
        (
            r#"{"type":"text","text":"t","image_url":"https://u"}"#,
            Pictures(1),
        ),
        (r#"{"type":"text","text":"t","file_id":"f"}"#, File),
        (
            r#"{"type":"text","text":[{"type":"image_url"}]}"#,
            Pictures(1),
        ),
    ] {
        assert_eq!(in_content(&format!("[{part}]")), beside, "{part}");
    }
}

/// `OpenRouter` takes back what its answers had beside their text.
#[test]
fn media_lie_beside_the_content_too() {
    let image = r#"{"type":"image_url","image_url":{"url":"https://u"}}"#;
    let message = |member: &str| {
        let body = format!(r#"{{"messages":[{{"role":"assistant","content":"t",{member}}}]}}"#);
        media(Operation::Chat, &body)
    };
    assert_eq!(
        message(&format!(r#""images":[{image},{image}]"#)),
        Pictures(2)
    );
    let file = format!(r#"{{"type":"file","file":{{"hash":"h","content":[{image},{image}]}}}}"#);
    assert_eq!(message(&format!(r#""annotations":[{file}]"#)), File);
    let source = r#"{"type":"url_citation","url_citation":{"url":"u","title":"t"}}"#;
    assert_eq!(
        message(&format!(r#""annotations":[{source}]"#)),
        Pictures(0)
    );
    let thought = r#"{"type":"reasoning.encrypted","data":"d"}"#;
    assert_eq!(
        message(&format!(r#""reasoning_details":[{thought}]"#)),
        Pictures(0)
    );
}

#[test]
fn what_has_another_form_counts_as_much_as_it_can_hold() {
    let body = r#"{"messages":{"role":"user","content":[{"type":"image_url"}]}}"#;
    assert_eq!(media(Operation::Chat, body), Other);
    let body = r#"{"messages":["a",{"content":[{}]}]}"#;
    assert_eq!(media(Operation::Chat, body), Other);
}

#[test]
fn embeddings_embed_media_too() {
    let media = |input| media(Operation::Embeddings, &format!(r#"{{"input":{input}}}"#));
    assert_eq!(media(r#""{text}""#), Pictures(0));
    assert_eq!(media(r#"["a","b"]"#), Pictures(0));
    assert_eq!(media("[[1,2],[3]]"), Pictures(0));
    assert_eq!(media(r#"["a",{"image":"https://a.b/c"}]"#), Other);
    assert_eq!(media(r#"{"image":"https://a.b/c"}"#), Other);
    let beside = r#""a","messages":[{"content":[{"type":"image_url","image_url":"https://u"}]}]"#;
    assert_eq!(media(beside), Pictures(1));
}

#[test]
fn an_edit_is_counted_anew() {
    let deployment = deployment();
    let image = r#"{"type":"image_url","image_url":{"url":"https://u"}}"#;
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
