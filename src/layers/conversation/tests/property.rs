//! Whatever was said: the model sees system, summary, and the rest in order, and no result of a tool without its call.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::value::{RawValue, to_raw_value};

use super::*;
use crate::{
    catalog::Deployment, layers::conversation::seams::Seams, model::BoxModelService, store::RECENT,
};

/// A turn: how many tools the answer calls; each result comes with the next turn.
fn turns() -> impl Strategy<Value = Vec<usize>> {
    let calls = prop_oneof![3 => Just(0), 2 => 1_usize..4, 1 => 4_usize..14];
    proptest::collection::vec(calls, 1..45)
}

fn answer(turn: usize, calls: usize) -> Value {
    let call = |n| json!({ "id": format!("{turn}-{n}"), "type": "function", "function": { "name": "f", "arguments": "{}" } });
    match calls {
        0 => json!({ "role": "assistant", "content": format!("answer {turn}") }),
        _ => {
            json!({ "role": "assistant", "content": null, "tool_calls": (0..calls).map(call).collect::<Vec<_>>() })
        }
    }
}

/// What the client sends after an answer with so many calls.
fn question(turn: usize, calls: usize) -> Vec<Value> {
    let result =
        |n| json!({ "role": "tool", "tool_call_id": format!("{}-{n}", turn - 1), "content": "1" });
    match calls {
        0 => vec![json!({ "role": "user", "content": format!("question {turn}") })],
        _ => (0..calls).map(result).collect(),
    }
}

/// Each result stands behind its call.
fn is_sewn(messages: &[Value]) -> bool {
    let mut called = HashSet::new();
    messages.iter().all(|message| {
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        called.extend(calls.filter_map(|call| call["id"].as_str()));
        match message["tool_call_id"].as_str() {
            Some(id) => called.contains(id),
            None => true,
        }
    })
}

async fn holds(turns: Vec<usize>) {
    let summarizer = Scripted::new(Reply::text("the summary"));
    let conversations = in_memory();
    let layer = ConversationLayer::new(conversations.clone())
        .window(24)
        .summarizer(BoxModelService::new(summarizer.clone()));
    let mut said: Vec<Value> = Vec::new();
    let mut before = 0;
    for (turn, calls) in turns.into_iter().enumerate() {
        let mut asked = vec![json!({ "role": "system", "content": "rules" })];
        asked.extend(question(turn, before));
        let reply = answer(turn, calls);
        let provider = Scripted::at(Deployment::new("p", "m"), [Reply::message(reply.clone())]);
        ask(&layer.layer(provider.clone()), saying("t", json!(asked)))
            .await
            .unwrap();

        let memory = conversations.load(&key()).await.unwrap().unwrap();
        let seen = last_seen(&provider);
        assert_eq!(seen[0]["content"], "rules", "instructions stay first");
        let summarized = texts(&seen).iter().any(|t| t.ends_with("\"the summary\""));
        let told = &seen[1 + usize::from(summarized)..];
        said.extend(asked.drain(1..));
        assert!(said.ends_with(told), "the rest, in order: {told:?}");
        assert!(is_sewn(told), "{told:?}");
        let left_out = said.len() - told.len();
        match summarized {
            true => assert!(left_out > 0),
            false => assert!(left_out == 0 || said.len() > RECENT),
        }
        said.push(reply);
        before = calls;
        assert_eq!(memory.count, said.len() as u64);
        // What no summary stands for any more begins at a seam.
        conversations.flush().await;
        sleep(Duration::from_secs(1)).await;
        let memory = conversations.load(&key()).await.unwrap().unwrap();
        let summarized = usize::try_from(memory.summarized()).unwrap();
        assert!(summarized == 0 || said.len() - summarized >= 5);
        assert!(is_sewn(&said[summarized..]), "{summarized}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_the_model_sees_is_system_summary_and_the_rest(turns in turns()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(holds(turns));
    }

    #[test]
    fn messages_that_nobody_understands_have_seams_too(
        roles in proptest::collection::vec(0_u8..6, 0..60),
        keep in 0_usize..20,
        from in 0_usize..70,
    ) {
        let message = |role: u8| -> Box<RawValue> {
            to_raw_value(&match role {
                0 => json!({ "role": "tool" }),
                1 => json!({ "role": "function", "name": "f" }),
                2 => json!({ "role": 7 }),
                3 => json!("text"),
                4 => json!({ "role": "tool", "tool_call_id": "of nobody" }),
                _ => json!({ "role": "user" }),
            }).unwrap()
        };
        let messages: Vec<_> = roles.iter().map(|role| message(*role)).collect();
        let seams = Seams::of(messages.iter().map(|m| &**m));
        let is_result = |at: usize| matches!(roles[at], 0 | 1 | 4);
        let begin = seams.at_or_behind(from.min(roles.len()));
        prop_assert!(begin == roles.len() || !is_result(begin));
        if let Some(at) = seams.last(keep) {
            prop_assert!(at > 0 && roles.len() - at >= 5 && !is_result(at));
        }
    }
}
