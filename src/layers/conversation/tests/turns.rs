//! What the model sees, and what is kept of an answer.

use super::*;
use crate::{json::RawObject, model::Operation, testing::layer_contract};

#[tokio::test(start_paused = true)]
async fn it_keeps_the_contract_of_layers() {
    layer_contract(|probe| ConversationLayer::new(in_memory()).layer(probe)).await;
}

#[tokio::test]
async fn what_was_said_stands_between_instructions_and_question() {
    let provider = Scripted::at(
        crate::catalog::Deployment::new("p", "m"),
        [Reply::text("ONE"), Reply::text("TWO"), Reply::text("THREE")],
    );
    let service = ConversationLayer::new(in_memory()).layer(provider.clone());
    ask(&service, saying("t", user("one?"))).await.unwrap();
    assert_eq!(texts(&last_seen(&provider)), ["one?"]);

    let body = r#"{ "model":"auto","tools":[{"x":1.10}],"messages":[ {"role":"developer","content":"be brief"},{"role":"user", "content":"two?","name":"ann"}],"temperature":0.70 }"#;
    let request = ModelRequest {
        body: RawObject::parse(body.into()).unwrap(),
        ..saying("t", json!([]))
    };
    ask(&service, request).await.unwrap();
    let seen = provider.seen().pop().unwrap();
    let remembered = r#"{"content":"one?","role":"user"},{"role":"assistant","content":"ONE"},"#;
    let (before, behind) = body.split_at(body.find(r#"{"role":"user""#).unwrap());
    let expected = [before, remembered, behind].concat();
    let sorted = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let sent = std::str::from_utf8(seen.body.as_bytes()).unwrap();
    assert_eq!(sorted(sent), sorted(&expected));
    assert!(sent.starts_with(before) && sent.ends_with(behind), "{sent}");

    ask(&service, saying("t", user("three?"))).await.unwrap();
    let seen = last_seen(&provider);
    assert_eq!(texts(&seen), ["one?", "ONE", "two?", "TWO", "three?"]);
    assert_eq!(seen[2]["name"], "ann", "messages are kept as they came");
}

#[tokio::test]
async fn a_conversation_is_its_tenants_alone() {
    let provider = Scripted::new(Reply::text("yes"));
    let conversations = in_memory();
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    ask(&service, saying("t", user("a secret"))).await.unwrap();
    ask(&service, saying("rival", user("what?"))).await.unwrap();
    assert_eq!(texts(&last_seen(&provider)), ["what?"]);
    let ours = conversations.load(&key()).await.unwrap().unwrap();
    assert_eq!(ours.count, 2, "and nothing was added to it");
}

#[tokio::test]
async fn streams_and_calls_of_tools_are_kept() {
    let call = json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"x\":1}" } });
    let calling =
        Reply::message(json!({ "role": "assistant", "content": null, "tool_calls": [call] }));
    let provider = Scripted::at(
        crate::catalog::Deployment::new("p", "m"),
        [calling.finish("tool_calls"), Reply::text("it is one")],
    );
    let service = ConversationLayer::new(in_memory()).layer(provider.clone());
    let stream = |messages| {
        let mut request = saying("t", messages);
        request.body.set("stream", &true).unwrap();
        request
    };
    ask(&service, stream(user("look"))).await.unwrap();
    let result = json!([{ "role": "tool", "tool_call_id": "a", "content": "1" }]);
    ask(&service, stream(result)).await.unwrap();
    let seen = last_seen(&provider);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[1]["tool_calls"], json!([call]));
    assert_eq!(seen[1]["content"], Value::Null);
    ask(&service, saying("t", user("thanks"))).await.unwrap();
    let seen = last_seen(&provider);
    assert_eq!(
        seen[3],
        json!({ "role": "assistant", "content": "it is one" })
    );
}

#[tokio::test]
async fn what_fails_or_is_cut_leaves_no_trace() {
    let failing = |reply: Reply| {
        let provider = Scripted::new(reply);
        let conversations = in_memory();
        let service = ConversationLayer::new(conversations.clone()).layer(provider);
        (conversations, service)
    };
    let refused = Error::new(ErrorKind::Upstream, "no");
    let stream = || {
        let mut request = saying("t", user("q"));
        request.body.set("stream", &true).unwrap();
        request
    };
    for reply in [
        Reply::error(refused.clone()),
        Reply::text("a b c d").fail_after(2, refused),
        Reply::text("a b c d").stop_after(2),
    ] {
        let (conversations, service) = failing(reply);
        ask(&service, stream()).await.unwrap_err();
        conversations.flush().await;
        assert!(conversations.load(&key()).await.unwrap().is_none());
    }
    let (conversations, service) = failing(Reply::text("a b c d"));
    let answer = service.oneshot(stream()).await.unwrap();
    drop(answer);
    conversations.flush().await;
    assert!(conversations.load(&key()).await.unwrap().is_none());
}

#[tokio::test]
async fn other_calls_pass_untouched() {
    let provider = Scripted::new(Reply::text("yes"));
    let conversations = in_memory();
    let service = ConversationLayer::new(conversations.clone()).layer(provider.clone());
    ask(&service, saying("t", user("one?"))).await.unwrap();
    ask(&service, crate::testing::ask("alone")).await.unwrap();
    assert_eq!(texts(&last_seen(&provider)), ["alone"]);
    let mut embeddings = saying("t", user("x"));
    embeddings.op = Operation::Embeddings;
    ask(&service, embeddings.clone()).await.unwrap();
    let seen = provider.seen().pop().unwrap();
    assert_eq!(seen.body.as_bytes(), embeddings.body.as_bytes());
    assert_eq!(conversations.load(&key()).await.unwrap().unwrap().count, 2);
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_before_anybody_is_asked() {
    let provider = Scripted::new(Reply::text("yes"));
    let service = ConversationLayer::new(in_memory()).layer(provider.clone());
    let request = ModelRequest {
        ctx: CallContext::new(Call {
            conversation: Some("../other".into()),
            ..Call::new("t")
        }),
        ..saying("t", user("q"))
    };
    let error = ask(&service, request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_passed_on_and_not_kept() {
    let provider = Scripted::new(Reply::text(&"word ".repeat(1000)));
    let conversations = in_memory();
    let config = ConversationConfig {
        answer_limit: 1000,
        ..ConversationConfig::default()
    };
    let service = ConversationLayer::new(conversations.clone()).config(config);
    ask(&service.layer(provider), saying("t", user("q")))
        .await
        .unwrap();
    conversations.flush().await;
    assert!(conversations.load(&key()).await.unwrap().is_none());
}
