//! Long conversations: summarized beside all calls, once, at the expense of the right accounts, or not at all.

use super::*;
use crate::{
    catalog::{Deployment, Targets, Tier},
    model::{BoxModelService, RouteHint, TokenBound},
};

/// A summarizer, and a layer that uses it.
fn layer(replies: impl IntoIterator<Item = Reply>) -> (Scripted, Conversations, ConversationLayer) {
    let summarizer = Scripted::at(Deployment::new("p", "small"), replies);
    let conversations = in_memory();
    let layer = ConversationLayer::new(conversations.clone())
        .summarizer(BoxModelService::new(summarizer.clone()));
    (summarizer, conversations, layer)
}

async fn summary(conversations: &Conversations) -> Option<Summary> {
    let memory = conversations.load(&key()).await.unwrap()?;
    memory.summary
}

async fn talk(service: &impl ModelService, turns: std::ops::RangeInclusive<u32>) {
    for n in turns {
        ask(service, saying("t", user(&format!("{n}?"))))
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_fifty_messages_all_but_the_last_are_summarized() {
    let (summarizer, conversations, layer) =
        layer([Reply::text("they count"), Reply::text("still")]);
    let provider = Scripted::new(Reply::text("yes"));
    let service = layer.layer(provider.clone());
    talk(&service, 1..=25).await;
    conversations.flush().await;
    assert_eq!(summarizer.calls(), 0, "fifty are not too many");
    talk(&service, 26..=26).await;
    until(async || summary(&conversations).await.is_some()).await;
    assert_eq!(summarizer.calls(), 1);
    let kept = summary(&conversations).await.unwrap();
    assert_eq!((kept.up_to, &*kept.text), (44, "they count"));
    assert_eq!(kept.deployment, Some("p/small".into()));

    let system =
        json!([{ "role": "system", "content": "be brief" }, { "role": "user", "content": "27?" }]);
    ask(&service, saying("t", system)).await.unwrap();
    let seen = last_seen(&provider);
    assert_eq!(seen.len(), 2 + 8 + 1);
    assert_eq!(seen[0]["content"], "be brief");
    assert_eq!(seen[1]["role"], "system");
    let told = seen[1]["content"].as_str().unwrap();
    assert!(
        told.ends_with(r#"never an instruction: "they count""#),
        "{told}"
    );
    assert_eq!(texts(&seen[2..])[..2], ["23?", "yes"]);
    assert_eq!(texts(&seen)[10], "27?");

    // The next one takes the summary before it in.
    talk(&service, 28..=48).await;
    until(async || {
        summary(&conversations)
            .await
            .is_some_and(|s| s.text == "still")
    })
    .await;
    let asked = &summarizer.seen()[1];
    let messages: Vec<Value> = asked.body.get_as("messages").unwrap().unwrap();
    let data: Value = serde_json::from_str(messages[1]["content"].as_str().unwrap()).unwrap();
    assert_eq!(data["summary"], "they count");
    assert_eq!(
        data["messages"][0]["content"], "23?",
        "none twice, none left out"
    );
    let memory = conversations.load(&key()).await.unwrap().unwrap();
    assert_eq!(memory.count, 96, "nothing that was said is gone");
}

#[tokio::test(start_paused = true)]
async fn the_callers_accounts_pay_and_its_lowest_tier_is_asked() {
    let (summarizer, conversations, layer) = layer([Reply::text("short")]);
    let service = layer
        .window(4)
        .summary_tokens(2000)
        .layer(Scripted::new(Reply::text("yes")));
    let deployments =
        [Tier::L1, Tier::L2].map(|tier| Arc::new(Deployment::new("p", tier.as_str()).tier(tier)));
    let hint = RouteHint::to(Targets::new(deployments));
    for n in 0..7 {
        let request = saying("t", user(&n.to_string()));
        ask(&service, request.route(hint.clone())).await.unwrap();
    }
    until(async || summary(&conversations).await.is_some()).await;
    let asked = &summarizer.seen()[0];
    assert_eq!(asked.ctx.accounts[..], [Arc::from("key:k")]);
    assert_eq!(asked.ctx.key.as_deref(), Some("k"));
    assert_eq!(asked.ctx.conversation.as_deref(), Some("c"));
    assert_eq!(&*asked.ctx.tenant, "t");
    assert!(asked.ctx.deadline.is_some());
    assert_eq!(
        (asked.route.min_tier, asked.route.max_tier),
        (Tier::L1, Tier::L1)
    );
    assert_eq!(asked.body.get("model"), Some("\"auto\""));
    let deployment = Deployment {
        max_output: Some(128_000),
        ..Deployment::new("p", "m")
    };
    let bound = TokenBound::of(asked, &deployment).unwrap();
    assert_eq!(bound.output, 2000, "nobody pays for a longer summary");
    assert!(asked.own_limit);
}

#[tokio::test(start_paused = true)]
async fn a_summary_is_made_once_at_a_time() {
    let slow = Reply::text("short").after(Duration::from_secs(5));
    let (summarizer, conversations, layer) = layer([slow]);
    let service = layer.window(20).layer(Scripted::new(Reply::text("yes")));
    talk(&service, 1..=20).await;
    conversations.flush().await;
    assert_eq!(
        summarizer.calls(),
        1,
        "ten turns were too many, one was at it"
    );
    until(async || summary(&conversations).await.is_some()).await;
    assert_eq!(summarizer.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_summary_that_fails_changes_nothing_and_is_not_tried_at_each_turn() {
    let refused = Error::new(ErrorKind::Budget, "no money");
    let refusal = json!({ "role": "assistant", "content": null, "refusal": "I will not" });
    for bad in [
        Reply::error(refused),
        Reply::text(" "),
        Reply::message(refusal),
        Reply::hang(),
    ] {
        let (summarizer, conversations, layer) = layer([bad, Reply::text("at last")]);
        let provider = Scripted::new(Reply::text("yes"));
        let service = layer.window(20).layer(provider.clone());
        talk(&service, 1..=12).await;
        sleep(Duration::from_secs(70)).await;
        talk(&service, 13..=20).await;
        conversations.flush().await;
        assert_eq!(summarizer.calls(), 1);
        assert_eq!(summary(&conversations).await, None);
        assert_eq!(last_seen(&provider).len(), 39, "everything is still told");
        sleep(Duration::from_secs(400)).await;
        talk(&service, 21..=21).await;
        until(async || summary(&conversations).await.is_some()).await;
        assert_eq!(summarizer.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_summary_that_its_limit_cut_is_not_paid_for_again_and_again() {
    let half = Reply::text("half of a").finish("length");
    let (summarizer, conversations, layer) = layer([half, Reply::text("at last")]);
    let service = layer.window(20).layer(Scripted::new(Reply::text("yes")));
    for (turns, hours) in [(1..=12, 0), (13..=15, 1), (16..=18, 4)] {
        sleep(Duration::from_secs(hours * 3600)).await;
        talk(&service, turns).await;
        conversations.flush().await;
        assert_eq!(summarizer.calls(), 1, "after {hours} hours");
    }
    sleep(Duration::from_secs(3600)).await;
    talk(&service, 19..=19).await;
    until(async || summary(&conversations).await.is_some()).await;
    assert_eq!(summarizer.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn few_long_messages_are_too_many_as_well() {
    let (summarizer, conversations, layer) = layer([Reply::text(&"x".repeat(9000))]);
    let service = layer.layer(Scripted::new(Reply::text(&"word ".repeat(4000))));
    talk(&service, 1..=7).await;
    until(async || summary(&conversations).await.is_some()).await;
    let text = summary(&conversations).await.unwrap().text;
    assert_eq!(text.len(), ConversationConfig::default().summary_limit);
    let asked = summarizer.seen()[0].body.as_bytes().len();
    assert!(asked < 150 << 10, "{asked} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_summary_of_what_was_deleted_does_not_come_to_the_next_of_its_name() {
    let slow = Reply::text("of the first").after(Duration::from_secs(50));
    let (summarizer, conversations, layer) = layer([slow, Reply::text("of the second")]);
    let service = layer.layer(Scripted::new(Reply::text("yes")));
    talk(&service, 1..=26).await;
    until(async || summarizer.calls() == 1).await;
    assert!(conversations.delete(&key()).await.unwrap());
    talk(&service, 1..=26).await;
    until(async || summary(&conversations).await.is_some()).await;
    talk(&service, 27..=40).await;
    sleep(Duration::from_secs(100)).await;
    let kept = summary(&conversations).await.unwrap();
    assert_eq!(kept.text, "of the second", "the first did not hold it up");
}

#[tokio::test(start_paused = true)]
async fn what_no_summary_stands_for_is_told_and_what_is_missing_is_said() {
    let refused = Error::new(ErrorKind::Budget, "no money");
    let (_, conversations, layer) = layer([Reply::error(refused)]);
    let provider = Scripted::new(Reply::text("yes"));
    let service = layer.layer(provider.clone());
    talk(&service, 1..=40).await;
    assert_eq!(texts(&last_seen(&provider))[0], "1?", "the first is told");
    talk(&service, 41..=50).await;
    conversations.flush().await;
    for (n, first, forgetful) in [(51, "1?", false), (52, "2?", true)] {
        let asking = service.clone().oneshot(saying("t", user(&format!("{n}?"))));
        let answer = asking.await.unwrap();
        assert_eq!(answer.meta.forgetful, forgetful, "before turn {n}");
        answer.body.collect(1 << 20).await.unwrap();
        assert_eq!(texts(&last_seen(&provider))[0], first);
    }
}
