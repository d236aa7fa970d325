use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{json::RawObject, model::FinishReason};

fn chunk(delta: Value, finish: Value) -> Bytes {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "x": {"kept": 1},
           "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": null}], "usage": null})
    .to_string()
    .into()
}

fn value(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// R6: parallel, interleaved, zero-argument and early-chunk tool calls reassemble to equal JSON.
#[test]
fn r6_interleaved_tool_calls_are_put_together() {
    let call = |index: u32, rest: Value| {
        let mut call = json!({ "index": index });
        call.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        json!({ "tool_calls": [call] })
    };
    let chunks = [
        chunk(json!({"role": "assistant", "content": null}), json!(null)),
        chunk(
            call(
                0,
                json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
            ),
            json!(null),
        ),
        chunk(
            call(
                1,
                json!({"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}),
            ),
            json!(null),
        ),
        chunk(
            call(0, json!({"function": {"arguments": "{\"x\""}})),
            json!(null),
        ),
        // Repeats id, type and name, as some servers do.
        chunk(
            call(
                0,
                json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": ":1}"}}),
            ),
            json!(null),
        ),
        chunk(json!({}), json!("tool_calls")),
    ];
    let usage: Bytes = json!({"choices": [], "usage": {"prompt_tokens": 3}})
        .to_string()
        .into();
    let whole = value(&assemble(&chunks, Some(&usage)).unwrap());
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["x"], json!({"kept": 1}));
    assert_eq!(whole["usage"], json!({"prompt_tokens": 3}));
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        whole["choices"][0]["message"],
        json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]})
    );
}

#[test]
fn split_and_assemble_are_inverse() {
    let whole = json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": {"prompt_tokens": 1},
        "choices": [
            {"index": 0, "finish_reason": "stop", "logprobs": null, "message": {"role": "assistant", "content": "hi", "reasoning_content": "hm"}},
            {"index": 1, "finish_reason": "tool_calls", "logprobs": {"content": [{"token": "x", "logprob": -0.5}]},
             "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}},
        ],
    });
    let (chunks, usage) = split(&whole.to_string().into()).unwrap();
    assert_eq!(chunks.len(), 4);
    assert!(chunks.iter().all(|c| value(c).get("usage").is_none()));
    assert_eq!(value(&assemble(&chunks, usage.as_ref()).unwrap()), whole);
}

#[test]
fn text_is_appended_per_choice() {
    let chunks = [
        chunk(json!({"role": "assistant", "content": "a"}), json!(null)),
        chunk(json!({"content": "b", "reasoning": "r"}), json!(null)),
        chunk(json!({"content": "", "reasoning": "s"}), json!("length")),
    ];
    let whole = assemble(&chunks, None).unwrap();
    assert_eq!(value(&whole)["choices"][0]["message"]["reasoning"], "rs");
    let answer = Answer::parse(&whole).unwrap();
    assert_eq!(answer.text, "ab");
    assert_eq!(answer.finish, Some(FinishReason::Length));
    assert!(assemble(&["[]".into()], None).is_err());
}

#[test]
fn an_image_is_seen_in_every_form_that_providers_take() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:"}});
    for (content, has_images) in [
        (json!([image]), true),
        (image.clone(), true),
        (json!(["look", image]), true),
        (
            json!([{"type": "text", "text": {"value": "x"}}, image]),
            true,
        ),
        (json!([{"image_url": {"url": "data:"}}]), true),
        (json!([{"type": "input_image", "file_id": "f"}]), true),
        (json!("\"image_url\""), false),
        (json!([{"type": "text", "text": "\"image_url\""}]), false),
        (json!(null), false),
    ] {
        let body = json!({"messages": [{"role": "user", "content": content}]});
        let body = RawObject::from_serialize(&body).unwrap();
        let prompt = Prompt::of(&body).unwrap();
        assert_eq!(prompt.has_images(), has_images, "{content}");
    }
}

#[test]
fn prompts_are_read_leniently() {
    let body = RawObject::from_serialize(&json!({"messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "this?"}]},
        {"role": "assistant", "content": null, "tool_calls": []},
        {"role": "martian", "unknown": 1},
    ]}))
    .unwrap();
    let prompt = Prompt::of(&body).unwrap();
    assert_eq!(prompt.question(), "what is\nthis?");
    assert!(prompt.has_images());
    assert_eq!(prompt.len(), 4);
    for wrong in [
        json!({}),
        json!({"messages": []}),
        json!({"messages": "hi"}),
        json!({"messages": [1]}),
    ] {
        let body = RawObject::from_serialize(&wrong).unwrap();
        assert_eq!(Prompt::of(&body).unwrap_err().get_param(), Some("messages"));
    }
}

#[test]
fn answers_without_a_choice_are_no_answers() {
    for wrong in ["{}", "{\"choices\":[]}", "{\"choices\":[{}]}", "<html>"] {
        assert!(Answer::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let answer = Answer::parse(
        br#"{"choices":[{"message":{"content":"x"},"logprobs":{"content":[{"logprob":-1.0},{"logprob":-3.0}]}}]}"#,
    )
    .unwrap();
    assert_eq!(answer.mean_logprob, Some(-2.0));
}

#[test]
fn an_instruction_goes_behind_the_first_ones_and_moves_nothing_else() {
    let added = r#"{"role":"system","content":"be \"brief\""}"#;
    for (before, behind) in [
        (
            r#"{"x":1.10, "messages": [ "#,
            r#"{"role":"user"} ] ,"y":2}"#,
        ),
        (
            r#"{"messages":[{"role":"system","content":"a"}, {"role":"developer"}, "#,
            r#"{"role":"user","n":1e2}, {"role":"system"}]}"#,
        ),
    ] {
        let body = RawObject::parse(format!("{before}{behind}").into()).unwrap();
        let more = instruct(&body, "be \"brief\"").unwrap();
        assert_eq!(more.as_bytes(), &format!("{before}{added},{behind}"));
    }
    let alone = RawObject::parse(r#"{"messages":[{"role":"system"} ]}"#.into()).unwrap();
    let more = instruct(&alone, "x").unwrap();
    assert_eq!(Prompt::of(&more).unwrap().len(), 2);
    assert!(instruct(&RawObject::parse("{\"messages\":1}".into()).unwrap(), "x").is_err());
}

#[test]
fn a_summary_comes_out_as_it_went_in_and_nothing_else_moves() {
    let body = RawObject::parse(
        r#"{ "x":1.0,"messages":[ {"role":"system","content":"a"} , {"role":"user","content":"q"} ]}"#
            .into(),
    )
    .unwrap();
    assert!(take_summary(&body).is_none());
    let said = [
        serde_json::value::to_raw_value(&json!({ "role": "user", "content": "before" })).unwrap(),
    ];
    let summary = "it says \"obey\"\n{\"role\":\"system\"}";
    let told = recall(&body, Some(summary), said.iter().map(|m| &**m)).unwrap();
    let (without, taken) = take_summary(&told).unwrap();
    assert_eq!(taken, summary);
    assert!(take_summary(&without).is_none());
    let only_said = recall(&body, None, said.iter().map(|m| &**m)).unwrap();
    assert_eq!(value(without.as_bytes()), value(only_said.as_bytes()));
    assert_eq!(recall(&body, None, []).unwrap().as_bytes(), body.as_bytes());
    let asked: Vec<String> = asked(&told)
        .unwrap()
        .iter()
        .map(|m| m.get().to_owned())
        .collect();
    assert_eq!(asked, [said[0].get(), r#"{"role":"user","content":"q"}"#]);
}

#[test]
fn a_reply_is_what_every_provider_takes() {
    let whole = |message: Value| json!({ "choices": [{ "message": message }] }).to_string();
    let call =
        json!([{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    for (message, expected) in [
        (
            json!({ "content": "hi", "refusal": null, "annotations": [], "reasoning_content": "hm" }),
            json!({ "role": "assistant", "content": "hi" }),
        ),
        (
            json!({ "role": "assistant", "content": null, "tool_calls": call }),
            json!({ "role": "assistant", "content": null, "tool_calls": call }),
        ),
        (
            json!({ "content": null, "refusal": "no", "tool_calls": [] }),
            json!({ "role": "assistant", "content": "no" }),
        ),
        (json!({}), json!({ "role": "assistant", "content": "" })),
    ] {
        let reply = reply(whole(message).as_bytes()).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(reply.get()).unwrap(),
            expected
        );
    }
    for wrong in [
        "",
        "[]",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"message":7}]}"#,
    ] {
        let error = reply(wrong.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Upstream);
    }
}

/// Of `chunks` of one choice, its message.
fn message(deltas: impl IntoIterator<Item = Value>) -> Value {
    let chunks: Vec<_> = deltas
        .into_iter()
        .map(|delta| chunk(delta, json!(null)))
        .collect();
    value(&assemble(&chunks, None).unwrap())["choices"][0]["message"].clone()
}

/// R6: some servers give all calls the index 0. Another id is another call.
#[test]
fn r6_calls_that_share_an_index_stay_apart() {
    let call = |id: Value, name: Value, arguments: &str| {
        json!({ "tool_calls": [{
            "index": 0, "id": id, "type": "function",
            "function": { "name": name, "arguments": arguments },
        }]})
    };
    let message = message([
        call(json!("a"), json!("f"), "{"),
        call(json!(null), json!(null), "}"),
        call(json!("b"), json!("g"), "["),
        call(json!(""), json!(""), "1"),
        call(json!("a"), json!("f"), " "),
        // The id of a piece that begins nothing.
        call(json!("c"), json!(null), "]"),
    ]);
    assert_eq!(
        message["tool_calls"],
        json!([
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{} "}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[1]"}},
        ])
    );
}

#[test]
fn what_only_comes_again_is_not_appended_and_text_is() {
    let details = |text: &str| {
        json!({ "reasoning": text, "reasoning_details": [
            { "index": 0, "type": "reasoning.text", "format": "v1", "text": text, "unheard": text },
        ]})
    };
    let message = message([details("ha"), details("ha"), details("!")]);
    assert_eq!(message["reasoning"], "haha!");
    let mut details = message["reasoning_details"][0].clone();
    assert_eq!(details["unheard"].take(), "ha!");
    assert_eq!(
        details,
        json!({ "index": 0, "type": "reasoning.text", "format": "v1", "text": "haha!", "unheard": null })
    );
}

#[test]
fn a_call_that_is_no_object_is_an_error_of_the_provider() {
    for calls in ["[1]", "[\"f\"]", "[null]", "[[]]"] {
        let whole = format!(r#"{{"choices":[{{"message":{{"tool_calls":{calls}}}}}]}}"#);
        let error = split(&whole.into()).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Upstream, "{calls}");
    }
}
