use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    error::ErrorKind,
    model::chat::{Answer, assemble, split},
    testing::ask,
};

fn answer(choice: Value) -> Answer {
    Answer::parse(json!({ "choices": [choice] }).to_string().as_bytes()).unwrap()
}

fn says(text: &str) -> Answer {
    answer(json!({"message": {"content": text}, "finish_reason": "stop"}))
}

fn calls(name: &str, arguments: &str) -> Answer {
    answer(
        json!({"finish_reason": "tool_calls", "message": {"content": null, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}]}}),
    )
}

fn found(request: &ModelRequest, answer: &Answer) -> Vec<Evidence> {
    StandardJudge::new().judge(request, answer).into_evidence()
}

#[test]
fn refusals_are_recognised_by_their_opening() {
    for text in [
        "I'm sorry, but I can't help with that.",
        "  I\u{2019}m unable to do this",
        "Sorry, I cannot assist you",
        "As an AI language model, I",
    ] {
        assert_eq!(found(&ask("q"), &says(text)), [Evidence::Refusal], "{text}");
    }
    for text in [
        "I can't help but admire it.",
        "I'm sorry to hear that. Try this:",
        "He said: I can't help with that",
        "42",
    ] {
        assert_eq!(found(&ask("q"), &says(text)), [], "{text}");
    }
    let structured = answer(json!({"message": {"content": null, "refusal": "No."}}));
    assert_eq!(found(&ask("q"), &structured), [Evidence::Refusal]);
    let filtered = answer(json!({"message": {"content": "a"}, "finish_reason": "content_filter"}));
    assert_eq!(found(&ask("q"), &filtered), [Evidence::Refusal]);
    let judge = StandardJudge::new().refusal("Das kann ich nicht");
    let german = says("Das kann ich nicht tun");
    assert_ne!(judge.judge(&ask("q"), &german), Judgement::Accept);
}

#[test]
fn a_cut_off_answer_counts_unless_the_client_cut_it() {
    let cut = answer(json!({"message": {"content": "{"}, "finish_reason": "length"}));
    assert_eq!(found(&ask("q"), &cut), [Evidence::Truncated]);
    for limit in ["max_tokens", "max_completion_tokens"] {
        let request = asking(json!({limit: 5, "response_format": {"type": "json_object"}}));
        assert_eq!(found(&request, &cut), []);
        // There are servers for which it is none.
        assert_eq!(
            found(&asking(json!({ limit: 0 })), &cut),
            [Evidence::Truncated]
        );
        assert_eq!(
            found(&asking(json!({ limit: null })), &cut),
            [Evidence::Truncated]
        );
    }
}

#[test]
fn an_empty_answer_counts_unless_it_speaks_otherwise() {
    assert_eq!(found(&ask("q"), &says(" \n")), [Evidence::Empty]);
    let older = answer(
        json!({"message": {"content": null, "function_call": {}}, "finish_reason": "function_call"}),
    );
    assert_eq!(found(&ask("q"), &older), []);
    let audio = asking(json!({"modalities": ["text", "audio"]}));
    assert_eq!(found(&audio, &says("")), []);
    // Some models do so unasked.
    for member in ["images", "audio"] {
        let sound = |value: Value| {
            let message = json!({"content": "", member: value});
            found(
                &ask("q"),
                &answer(json!({"message": message, "finish_reason": "stop"})),
            )
        };
        assert_eq!(
            sound(json!([{"type": "image_url", "image_url": {"url": "data:"}}])),
            []
        );
        assert_eq!(sound(json!({"id": "a", "data": "UklG"})), []);
        assert_eq!(sound(json!([])), [Evidence::Empty]);
        assert_eq!(sound(json!(null)), [Evidence::Empty]);
    }
}

#[test]
fn a_call_of_the_older_kind_is_a_call() {
    let functions = asking(json!({"functions": [{"name": "add"}]}));
    let calls = |name: &str| {
        let call = json!({"name": name, "arguments": "{}"});
        let message = json!({"content": null, "function_call": call});
        found(
            &functions,
            &answer(json!({"message": message, "finish_reason": "stop"})),
        )
    };
    assert_eq!(calls("add"), []);
    assert!(matches!(calls("subtract")[..], [Evidence::BadToolCall(_)]));
    assert_eq!(calls(""), [Evidence::Empty]);
}

#[test]
fn a_tool_called_for_what_cannot_be_said_is_no_refusal() {
    let text = "I don't have access to live data, so I'll look it up.";
    let tools = asking(json!({"tools": [{"type": "function", "function": {"name": "add"}}]}));
    let mut called = calls("add", "{}");
    called.text = text.into();
    assert_eq!(found(&tools, &called), []);
    assert_eq!(found(&tools, &says(text)), [Evidence::Refusal]);
    let judge = StandardJudge::new();
    // The call may still come.
    assert_eq!(judge.glimpse(&tools, &says(text)), Judgement::Accept);
    let mut none = tools.clone();
    none.body.set("tool_choice", &"none").unwrap();
    for request in [none, asking(json!({"tools": []})), ask("q")] {
        assert_ne!(judge.glimpse(&request, &says(text)), Judgement::Accept);
    }
}

#[test]
fn json_is_checked_when_it_was_asked_for() {
    let object = asking(json!({"response_format": {"type": "json_object"}}));
    assert_eq!(found(&object, &says("{\"a\":1}")), []);
    assert_eq!(
        found(&object, &says("```json\n{}\n```")),
        [Evidence::InvalidJson]
    );
    assert!(matches!(
        found(&object, &says("[]"))[..],
        [Evidence::OffSchema(_)]
    ));
    assert_eq!(found(&ask("q"), &says("no json")), []);
    let text = asking(json!({"response_format": {"type": "text"}}));
    assert_eq!(found(&text, &says("no json")), []);
}

#[test]
fn a_schema_is_checked_structurally() {
    let schema = json!({
        "type": "object", "required": ["name", "tags"], "additionalProperties": false,
        "properties": {
            "name": {"type": "string"},
            "age": {"type": ["integer", "null"]},
            "kind": {"enum": ["a", 1]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "any": {"$ref": "#/$defs/taken-on-trust"},
        },
    });
    let request = asking(
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}),
    );
    let wrong = |value: Value| match &found(&request, &says(&value.to_string()))[..] {
        [] => None,
        [Evidence::OffSchema(at)] => Some(at.clone()),
        other => Some(format!("{other:?}")),
    };
    assert_eq!(
        wrong(json!({"name": "n", "tags": ["t"], "age": 3.0, "kind": 1.0, "any": {}})),
        None
    );
    for (value, at) in [
        (json!([]), "`$` is not of type object"),
        (json!({"name": "n"}), "`$.tags` is missing"),
        (
            json!({"name": 1, "tags": []}),
            "`$.name` is not of type string",
        ),
        (
            json!({"name": "", "tags": ["a", 2]}),
            "`$.tags[1]` is not of type string",
        ),
        (
            json!({"name": "", "tags": [], "age": 1.5}),
            "`$.age` is not of type integer or null",
        ),
        (
            json!({"name": "", "tags": [], "kind": "b"}),
            "`$.kind` is none of the allowed values",
        ),
        (
            json!({"name": "", "tags": [], "secret": 1}),
            "`$` has a member that is not allowed",
        ),
    ] {
        assert_eq!(wrong(value).as_deref(), Some(at));
    }
}

#[test]
fn tool_calls_must_be_possible() {
    let tools = asking(json!({"tools": [{"type": "function", "function": {"name": "add"}}]}));
    for arguments in ["", "{}", "{\"a\":1}"] {
        assert_eq!(found(&tools, &calls("add", arguments)), []);
    }
    for (name, arguments) in [
        ("add", "{a:1}"),
        ("add", "{"),
        ("subtract", "{}"),
        ("", "{}"),
    ] {
        let evidence = found(&tools, &calls(name, arguments));
        assert!(
            matches!(evidence[..], [Evidence::BadToolCall(_)]),
            "{name} {arguments}"
        );
    }
    let json = asking(json!({
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "add"}}],
    }));
    assert_eq!(found(&json, &calls("add", "{}")), []);
}

#[test]
fn low_log_probabilities_count_when_given() {
    let with = |logprob: f64| {
        answer(
            json!({"message": {"content": "x"}, "logprobs": {"content": [{"logprob": logprob}]}}),
        )
    };
    assert_eq!(found(&ask("q"), &with(-0.3)), []);
    assert_eq!(
        found(&ask("q"), &with(-2.5)),
        [Evidence::LowConfidence(-2.5)]
    );
    let off = StandardJudge::new().min_logprob(None);
    assert_eq!(off.judge(&ask("q"), &with(-9.0)), Judgement::Accept);
}

/// Servers write something for tokens that they have no figure for.
#[test]
fn a_log_probability_that_is_not_known_does_not_count() {
    let tokens = |logprobs: &[Value]| -> Vec<Value> {
        logprobs
            .iter()
            .map(|l| json!({"token": "x", "logprob": l}))
            .collect()
    };
    let known = vec![json!(-0.5); 8];
    let unknown = [json!(-9999.0), json!(null), json!(-1e300)];
    let all = json!({"content": tokens(&[&known[..], &unknown].concat())});
    for (logprobs, mean) in [
        (all, Some(-0.5)),
        (json!({"content": tokens(&unknown)}), None),
        (json!({"content": [{"logprob": "?"}]}), None),
        (json!([]), None),
    ] {
        let whole = json!({"choices": [{
            "index": 0, "message": {"content": "hi"}, "finish_reason": "stop", "logprobs": logprobs,
        }]});
        let whole = Bytes::from(whole.to_string());
        let read = Answer::parse(&whole).unwrap();
        assert_eq!((&*read.text, read.mean_logprob), ("hi", mean));
        let mut partial = partial::Partial::default();
        for chunk in split(&whole).unwrap().0 {
            partial.add(&chunk);
        }
        let read = partial.into_answer();
        assert_eq!((&*read.text, read.mean_logprob), ("hi", mean));
    }
}

#[test]
fn judges_compose() {
    let short = |_: &ModelRequest, answer: &Answer| {
        let short = answer.text.len() < 3;
        let found = short.then(|| Evidence::Other("too short".into()));
        found.into_iter().collect()
    };
    let judge = StandardJudge::new().and(short);
    let evidence = judge.judge(&ask("q"), &says("")).into_evidence();
    assert_eq!(
        evidence,
        [Evidence::Empty, Evidence::Other("too short".into())]
    );
    assert_eq!(judge.judge(&ask("q"), &says("long")), Judgement::Accept);
    let failed = judge.failed(&ask("q"), &Error::new(ErrorKind::Timeout, "t"));
    assert_eq!(
        failed.into_evidence(),
        [Evidence::Failed(ErrorKind::Timeout)]
    );
}

#[test]
fn a_glimpse_forgives_what_may_still_come_right() {
    let judge = StandardJudge::new();
    let tools = asking(json!({"tools": [{"type": "function", "function": {"name": "add"}}]}));
    for (name, arguments) in [("", ""), ("ad", ""), ("add", "{\"a\": tr")] {
        assert_eq!(
            judge.glimpse(&tools, &calls(name, arguments)),
            Judgement::Accept
        );
    }
    for (name, arguments) in [("sub", ""), ("add", "{a")] {
        assert_ne!(
            judge.glimpse(&tools, &calls(name, arguments)),
            Judgement::Accept
        );
    }
    assert_eq!(judge.glimpse(&ask("q"), &says("")), Judgement::Accept);
}

#[test]
fn chunks_add_up_to_the_answer() {
    let whole = json!({"choices": [
        {"index": 0, "finish_reason": "stop",
         "logprobs": {"content": vec![json!({"token": "x", "logprob": -2.0}); 9]},
         "message": {"content": "hi", "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "function": {"name": "g", "arguments": "1"}}]}},
        {"index": 1, "finish_reason": "stop", "message": {"content": "another choice"}},
    ]});
    let (chunks, _) = split(&whole.to_string().into()).unwrap();
    let mut partial = partial::Partial::default();
    for chunk in &chunks {
        partial.add(chunk);
    }
    partial.add(&Bytes::from_static(b"[nothing to read]"));
    let answer = partial.into_answer();
    assert_eq!((&*answer.text, answer.mean_logprob), ("hi", Some(-2.0)));
    assert_eq!(
        answer.tool_calls[1]["function"],
        json!({"name": "g", "arguments": "1"})
    );
}

#[test]
fn calls_come_together_in_chunks_as_in_the_whole() {
    let call =
        |name: &str, arguments: &str| json!({"function": {"name": name, "arguments": arguments}});
    let piece = |arguments: &str| json!({"index": 1, "function": {"arguments": arguments}});
    let named = json!({"index": 1, "id": "c", "function": {"name": "h", "arguments": ""}});
    let older = |call: Value| json!({"function_call": call});
    for (deltas, read) in [
        (
            vec![
                json!({"tool_calls": [call("f", "{}")]}),
                json!({"tool_calls": [call("g", "1")]}),
            ],
            vec![("f", "{}"), ("g", "1")],
        ),
        (
            vec![json!({"tool_calls": [call("f", "{}"), call("g", "1")]})],
            vec![("f", "{}"), ("g", "1")],
        ),
        (
            vec![
                json!({"tool_calls": [named]}),
                json!({"tool_calls": [piece("{"), piece("}")]}),
            ],
            vec![("h", "{}")],
        ),
        (
            vec![
                older(json!({"name": "f", "arguments": ""})),
                older(json!({"arguments": "{}"})),
            ],
            vec![("f", "{}")],
        ),
        (
            vec![
                json!({"tool_calls": [call("f", "{}")], "function_call": {"name": "f", "arguments": "{}"}}),
            ],
            vec![("f", "{}")],
        ),
        (
            vec![
                older(json!({"name": "", "arguments": ""})),
                older(json!({})),
            ],
            vec![],
        ),
    ] {
        let mut chunks: Vec<Bytes> = Vec::new();
        let mut partial = partial::Partial::default();
        for delta in deltas {
            let chunk = json!({"choices": [{"index": 0, "delta": delta}]});
            chunks.push(chunk.to_string().into());
            partial.add(&chunks[chunks.len() - 1]);
        }
        let whole = Answer::parse(&assemble(&chunks, None).unwrap()).unwrap();
        for answer in [partial.into_answer(), whole] {
            let calls = answer.tool_calls.iter().map(|call| &call["function"]);
            let calls: Vec<_> = calls
                .map(|f| {
                    (
                        f["name"].as_str().unwrap(),
                        f["arguments"].as_str().unwrap(),
                    )
                })
                .collect();
            assert_eq!(calls, read);
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Cutting valid JSON anywhere leaves something that may still become valid.
    #[test]
    fn a_beginning_of_json_is_never_held_against_it(value in any_json(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        let start = &text[..text.floor_char_boundary(cut.index(text.len() + 1))];
        let request = asking(json!({"response_format": {"type": "json_object"}}));
        let json = StandardJudge::new();
        prop_assert_eq!(json.glimpse(&request, &says(start)), Judgement::Accept);
    }

    #[test]
    fn every_value_fits_the_schema_that_lists_it(value in any_json()) {
        prop_assert_eq!(schema::violation(&json!({ "enum": [&value] }), &value), None);
        let _ = schema::violation(&value, &value);
    }
}
