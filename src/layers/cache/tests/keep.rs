use super::*;

#[tokio::test]
async fn r7_failed_and_unfinished_answers_are_not_kept() {
    let down = || Error::new(ErrorKind::Upstream, "down");
    let tools = json!({ "role": "assistant", "content": null, "tool_calls":
        [{ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] });
    let replies = [
        Reply::error(down()),
        Reply::text("a b c").stop_after(2),
        Reply::text("a b c").fail_after(2, down()),
        Reply::text("a b c").finish("length"),
        Reply::text("a b c").finish("content_filter"),
        Reply::message(tools).finish("tool_calls"),
        Reply::text(&"long ".repeat(300)),
    ];
    for (at, reply) in replies.into_iter().enumerate() {
        let provider = Scripted::new(reply);
        let store = Arc::new(Store::default());
        let layer = CacheLayer::new(store.clone(), CacheScope::Tenant).max_entry_bytes(1500);
        let stack = layer.layer(provider.clone());
        for _ in 0..2 {
            let answer = stack.clone().oneshot(to(&provider, ask_stream("q"))).await;
            if let Ok(answer) = answer {
                let _ = answer.body.collect(1 << 20).await;
            }
        }
        assert_eq!((store.len(), provider.calls()), (0, 2), "reply {at}");
        assert_eq!(stack.in_flight(), 0, "reply {at}");
    }
}

/// The limit is part of the key, so the next answer would be as long.
#[tokio::test]
async fn an_answer_that_ends_at_the_questions_own_limit_is_kept() {
    let provider = Scripted::new(Reply::text("a b c").finish("length"));
    let store = Arc::new(Store::default());
    let stack = cached(&store, provider.clone());
    let mut limited = to(&provider, ask("q"));
    limited.body.set("max_tokens", &3).unwrap();
    for _ in 0..2 {
        read(stack.clone().oneshot(limited.clone()).await.unwrap()).await;
    }
    assert_eq!((store.len(), provider.calls()), (1, 1));
}

#[tokio::test]
async fn a_limit_that_is_null_or_nothing_is_none() {
    for no_limit in [json!(null), json!(0)] {
        let provider = Scripted::new(Reply::text("a b c").finish("length"));
        let store = Arc::new(Store::default());
        let mut request = to(&provider, ask("q"));
        request.body.set("max_tokens", &no_limit).unwrap();
        let stack = cached(&store, provider);
        read(stack.oneshot(request).await.unwrap()).await;
        assert_eq!(store.len(), 0, "{no_limit}");
    }
}

/// How many of a whole answer with these choices, and of the same one as a stream, are kept.
async fn kept(members: Value, tool_calls: bool, choices: Value) -> usize {
    let whole = json!({ "id": "1", "object": "chat.completion", "choices": choices });
    // What a dialect tells: the reason of the first choice.
    let reason = choices[0]["finish_reason"].as_str().unwrap();
    let end = End {
        finish: Some(FinishReason::from_openai(reason)),
        ..End::default()
    };
    let answer = Collected {
        whole: true,
        data: vec![whole.to_string().into()],
        end,
    };
    let provider = Scripted::new(Reply::text("unused"));
    let mut kept = 0;
    for question in [ask("q"), ask_stream("q")] {
        let mut request = to(&provider, question);
        for (name, value) in members.as_object().unwrap() {
            request.body.set(name, value).unwrap();
        }
        let whole = !request.wants_stream();
        let answer = answer.clone().into_form(whole).unwrap();
        let store = Arc::new(Store::default());
        let inner = answering(&provider, move |r| r.body = answer.clone().into_body());
        let layer = CacheLayer::new(store.clone(), CacheScope::Tenant).tool_calls(tool_calls);
        read(layer.layer(inner).oneshot(request).await.unwrap()).await;
        kept += store.len();
    }
    kept
}

#[tokio::test]
async fn of_several_choices_each_must_have_ended_well() {
    let choice = |index: u64, finish: &str| json!({ "index": index, "message": { "role": "assistant", "content": "yes" }, "finish_reason": finish });
    for (second, both) in [("stop", 2), ("length", 0), ("content_filter", 0)] {
        let choices = json!([choice(0, "stop"), choice(1, second)]);
        assert_eq!(
            kept(json!({ "n": 2 }), false, choices).await,
            both,
            "{second}"
        );
    }
    let limited = json!({ "n": 2, "max_tokens": 3 });
    let choices = json!([choice(0, "stop"), choice(1, "length")]);
    assert_eq!(kept(limited, false, choices).await, 2);
}

/// Providers say `stop` then.
#[tokio::test]
async fn a_tool_call_that_was_forced_is_a_tool_call() {
    let choice = |member: &str, call: Value| {
        json!([{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": null, member: call } }])
    };
    let function = json!({ "name": "f", "arguments": "{}" });
    let call = json!([{ "index": 0, "id": "1", "type": "function", "function": function }]);
    for (member, call, plain) in [
        ("tool_calls", call, 0),
        ("function_call", function, 0),
        ("tool_calls", json!([]), 2),
        ("function_call", json!(null), 2),
    ] {
        for asked in ["tools", "functions"] {
            let asked = json!({ asked: [{}] });
            let choices = choice(member, call.clone());
            assert_eq!(
                kept(asked.clone(), false, choices.clone()).await,
                plain,
                "{choices}"
            );
            assert_eq!(kept(asked, true, choices).await, 2);
        }
    }
}

#[tokio::test]
async fn r7_answers_that_are_not_what_was_asked_for_are_not_kept() {
    let differ = |agreement| Verdict {
        agreement,
        confidence: 50,
        reviewers: vec![],
        cost: Money::ZERO,
    };
    type Change = fn(&mut ModelResponse);
    let changes: [(Change, usize); 5] = [
        (|_| {}, 1),
        (|r| r.meta.fallback = true, 0),
        (|r| r.meta.notes.push("no budget to climb".into()), 0),
        (
            |r| r.meta.deployment = Some(Arc::new(Deployment::new("other", "m"))),
            0,
        ),
        (|r| r.meta.deployment = None, 0),
    ];
    for (at, (change, kept)) in changes.into_iter().enumerate() {
        let provider = Scripted::new(Reply::text("yes"));
        let store = Arc::new(Store::default());
        let stack = cached(&store, answering(&provider, change));
        read(stack.oneshot(to(&provider, ask("q"))).await.unwrap()).await;
        assert_eq!(store.len(), kept, "change {at}");
    }
    for (agreement, kept) in [
        (Agreement::Agree, 1),
        (Agreement::Differ(vec![]), 0),
        (Agreement::Unchecked, 0),
    ] {
        let verdict = differ(agreement);
        let provider = Scripted::new(Reply::text("yes"));
        let store = Arc::new(Store::default());
        let inner = answering(&provider, move |r| r.meta.verdict = Some(verdict.clone()));
        let stack = cached(&store, inner);
        read(stack.oneshot(to(&provider, ask("q"))).await.unwrap()).await;
        assert_eq!(store.len(), kept);
    }
}

#[tokio::test]
async fn tool_calls_are_kept_where_that_is_wanted() {
    let provider = Scripted::new(Reply::text("").finish("tool_calls"));
    let store = Arc::new(Store::default());
    let layer = CacheLayer::new(store.clone(), CacheScope::Tenant).tool_calls(true);
    let stack = layer.layer(provider.clone());
    read(stack.oneshot(to(&provider, ask("q"))).await.unwrap()).await;
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn embeddings_have_no_finish_reason_and_are_kept() {
    let provider = Scripted::new(Reply::text("unused"));
    let store = Arc::new(Store::default());
    let inner = answering(&provider, |r| {
        r.body = ModelBody::whole("{}".into(), End::default());
    });
    let stack = cached(&store, inner);
    for (op, kept) in [(Operation::Chat, 0), (Operation::Embeddings, 1)] {
        let mut request = to(&provider, ask("q"));
        request.op = op;
        read(stack.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(store.len(), kept);
    }
}
