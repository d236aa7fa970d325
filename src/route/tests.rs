use std::{sync::Arc, time::Duration};

use http::StatusCode;
use serde_json::json;
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

use super::*;
use crate::{
    catalog::{Capability, Deployment, Money, Price, Targets, Tier},
    error::{Error, ErrorKind},
    json::RawObject,
    layers::{
        budget::BudgetLayer,
        cache::{CacheLayer, CacheScope},
        cross_check::{CrossCheckLayer, When},
        escalate::{EscalateLayer, StandardJudge},
    },
    model::{
        Call, CallContext, ModelRequest, ModelResponse, OnExhaust, Operation, Quality, RouteHint,
        Start,
    },
    store::{
        Budgets,
        memory::{MemoryBudgets, MemoryCache},
    },
    testing::{Reply, Scripted, ask, chat},
};

/// A question of more than five tokens, whatever a token is.
const LONG: &str = "the quick brown fox jumps over the lazy dog, and nobody knows whether that was its wish or the dog's own";

struct World(Vec<Scripted>);

impl World {
    fn route(&self) -> Route {
        Route::new(
            self.0
                .iter()
                .map(|s| (s.deployment(), BoxCloneSyncService::new(s.clone()))),
        )
    }

    fn targets(&self) -> Targets {
        Targets::new(self.0.iter().map(Scripted::deployment))
    }

    async fn call(&self, request: ModelRequest) -> Result<ModelResponse, Error> {
        let targets = self.targets();
        let hint = RouteHint {
            targets,
            ..request.route.clone()
        };
        self.route().oneshot(request.route(hint)).await
    }

    fn calls(&self) -> Vec<usize> {
        self.0.iter().map(Scripted::calls).collect()
    }
}

fn at(name: &str, tier: Tier, reply: Reply) -> Scripted {
    Scripted::at(Deployment::new("p", name).tier(tier), [reply])
}

fn down() -> Reply {
    Reply::error(Error::new(ErrorKind::Upstream, "down").upstream_status(StatusCode::BAD_GATEWAY))
}

fn name(answer: &ModelResponse) -> &str {
    answer.meta.deployment.as_ref().map(|d| &*d.model).unwrap()
}

fn critical(request: ModelRequest) -> ModelRequest {
    let call = Call {
        quality: Quality::Critical,
        ..Call::new("t")
    };
    ModelRequest {
        ctx: CallContext::new(call),
        ..request
    }
}

#[tokio::test]
async fn a_call_starts_on_the_cheapest_tier() {
    let world = World(vec![
        at("dear", Tier::L3, Reply::text("a")),
        at("free", Tier::L0, Reply::text("a")),
    ]);
    assert_eq!(name(&world.call(ask("hi")).await.unwrap()), "free");
    assert_eq!(
        name(&world.call(critical(ask("hi"))).await.unwrap()),
        "dear"
    );
    let hard =
        "prove step by step and compare: design a plan to optimise and analyse this architecture";
    assert_eq!(name(&world.call(ask(hard)).await.unwrap()), "dear");
}

#[tokio::test]
async fn r14_failures_before_the_first_content_fall_to_the_next() {
    let world = World(vec![
        at("a", Tier::L0, down()),
        at("b", Tier::L0, Reply::text("").stop_after(0)),
        at("c", Tier::L1, Reply::text("ok")),
    ]);
    for request in [ask("hi"), crate::testing::ask_stream("hi")] {
        assert_eq!(
            name(&world.call(request).await.unwrap()),
            if world.calls()[0] == 1 { "b" } else { "c" }
        );
    }
}

#[tokio::test]
async fn r12_if_all_fail_the_client_gets_the_providers_error() {
    let world = World(vec![
        at("a", Tier::L0, down()),
        at(
            "b",
            Tier::L1,
            Reply::error(Error::new(ErrorKind::Overloaded, "full")),
        ),
    ]);
    let error = world.call(ask("hi")).await.unwrap_err();
    assert_eq!(
        (error.status(), error.provider()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("p"))
    );

    let later = |seconds| {
        Reply::error(
            Error::new(ErrorKind::RateLimited, "later").retry_after(Duration::from_secs(seconds)),
        )
    };
    let world = World(vec![
        at("a", Tier::L0, later(30)),
        at("b", Tier::L0, later(5)),
        at("c", Tier::L1, later(60)),
    ]);
    let error = world.call(ask("hi")).await.unwrap_err();
    assert_eq!(error.get_retry_after(), Some(Duration::from_secs(5)));
}

#[tokio::test]
async fn r13_a_request_that_is_wrong_is_wrong_everywhere() {
    let wrong = Reply::error(Error::invalid("bad member"));
    let world = World(vec![
        at("a", Tier::L0, wrong),
        at("b", Tier::L1, Reply::text("a")),
    ]);
    assert_eq!(
        world.call(ask("hi")).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(world.calls(), [1, 0]);
}

#[tokio::test]
async fn a_budget_that_does_not_reach_goes_down_a_tier() {
    let broke = Reply::error(Error::new(ErrorKind::Budget, "no room"));
    let world = World(vec![
        at("free", Tier::L0, Reply::text("a")),
        at("dear", Tier::L1, broke),
    ]);
    assert_eq!(
        name(&world.call(critical(ask("hi"))).await.unwrap()),
        "free"
    );
    assert_eq!(world.calls(), [1, 1]);
}

#[tokio::test]
async fn a_budget_that_does_not_reach_goes_up_nowhere() {
    let broke = || Reply::error(Error::new(ErrorKind::Budget, "no room"));
    let world = World(vec![
        at("near", Tier::L1, broke()),
        at("same", Tier::L1, down()),
        at("far", Tier::L2, Reply::text("a")),
        at("low", Tier::L0, down()),
    ]);
    let error = world.call(critical(ask("hi"))).await.unwrap_err();
    assert_eq!(error.message(), "down");
    assert_eq!(world.calls(), [1, 1, 0, 1]);

    // A fallback is no way up either.
    let near = at("near", Tier::L0, broke());
    let spare = at("spare", Tier::L1, Reply::text("a"));
    let targets = Targets::new([near.deployment()]).or_else([spare.deployment()]);
    let route = World(vec![near, spare.clone()]).route();
    let request = ask("hi").route(RouteHint::to(targets));
    let error = route.oneshot(request).await.unwrap_err();
    assert_eq!((error.kind(), spare.calls()), (ErrorKind::Budget, 0));

    // What costs nothing is within reach on any tier.
    let free = Deployment::new("p", "free").tier(Tier::L2);
    let free = Scripted::at(free.price(Price::FREE), [Reply::text("a")]);
    let world = World(vec![at("near", Tier::L0, broke()), free]);
    assert_eq!(name(&world.call(ask("hi")).await.unwrap()), "free");
}

#[tokio::test]
async fn a_deployment_that_no_budget_can_pay_for_is_no_ceiling() {
    let book = MemoryBudgets::new();
    book.set("key:k", vec!["1/day".parse().unwrap()]);
    let book: Arc<dyn Budgets> = Arc::new(book);
    let unpriced = at("unpriced", Tier::L0, Reply::text("a"));
    let priced = Deployment {
        max_output: Some(10),
        ..Deployment::new("p", "priced").tier(Tier::L1)
    };
    let nano = Money::from_nanos(1);
    let priced = priced.price(Price::per_million(nano, nano));
    let priced = Scripted::at(priced, [Reply::text("a")]);
    let rings = [&unpriced, &priced].map(|s| {
        let budget = BudgetLayer::new(s.deployment(), book.clone());
        let ring = BoxCloneSyncService::new(budget.layer(s.clone()));
        (s.deployment(), ring)
    });
    let call = Call {
        accounts: Arc::new(["key:k".into()]),
        ..Call::new("t")
    };
    let request = ModelRequest {
        ctx: CallContext::new(call),
        ..ask("hi")
    };
    let targets = Targets::new([unpriced.deployment(), priced.deployment()]);
    let request = request.route(RouteHint::to(targets));
    let answer = Route::new(rings).oneshot(request).await.unwrap();
    assert_eq!(name(&answer), "priced");
}

#[tokio::test]
async fn a_budget_that_is_to_refuse_goes_nowhere_else() {
    let broke = Reply::error(Error::new(ErrorKind::Budget, "no room"));
    let world = World(vec![
        at("free", Tier::L0, Reply::text("a")),
        at("dear", Tier::L1, broke),
    ]);
    let call = Call {
        quality: Quality::Critical,
        on_exhaust: OnExhaust::Refuse,
        ..Call::new("t")
    };
    let request = ModelRequest {
        ctx: CallContext::new(call),
        ..ask("hi")
    };
    let error = world.call(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert_eq!(world.calls(), [0, 1]);
}

#[tokio::test]
async fn tiers_exclusions_and_abilities_are_respected() {
    let world = World(vec![
        at("l0", Tier::L0, Reply::text("a")),
        at("l1", Tier::L1, Reply::text("a")),
        Scripted::at(
            Deployment::new("p", "eyes")
                .tier(Tier::L2)
                .capabilities([Capability::Vision]),
            [Reply::text("a")],
        ),
        Scripted::at(
            Deployment::new("p", "vectors").capabilities([Capability::Embeddings]),
            [Reply::text("a")],
        ),
        Scripted::at(
            Deployment {
                context_window: Some(5),
                priority: -1,
                ..Deployment::new("p", "short")
            },
            [Reply::text("a")],
        ),
    ]);
    let hint = RouteHint {
        min_tier: Tier::L1,
        ..RouteHint::default()
    };
    assert_eq!(
        name(&world.call(ask(LONG).route(hint)).await.unwrap()),
        "l1"
    );
    let hint = RouteHint {
        exclude: ["p/l0".into()].into_iter().collect(),
        ..RouteHint::default()
    };
    assert_eq!(
        name(&world.call(ask(LONG).route(hint)).await.unwrap()),
        "l1"
    );
    let picture = chat(
        &json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]}),
    );
    assert_eq!(name(&world.call(picture).await.unwrap()), "eyes");
    // A tool that takes pictures, and a question about one, need nobody who sees.
    let named = chat(&json!({
        "messages": [{"role": "user", "content": format!("what goes into \"image_url\"? {LONG}")}],
        "tools": [{"type": "function", "function": {"name": "show", "parameters": {"properties": {"image_url": {}}}}}],
    }));
    assert_eq!(name(&world.call(named).await.unwrap()), "l0");
    let embed = ModelRequest {
        op: Operation::Embeddings,
        ..ask(LONG)
    };
    assert_eq!(name(&world.call(embed).await.unwrap()), "vectors");
    let hint = RouteHint {
        max_tier: Tier::L0,
        exclude: ["p/l0".into()].into_iter().collect(),
        ..RouteHint::default()
    };
    assert_eq!(
        world.call(ask(LONG).route(hint)).await.unwrap_err().kind(),
        ErrorKind::ContextTooLong
    );
}

#[tokio::test]
async fn fallbacks_come_last_and_are_marked() {
    let main = at("main", Tier::L1, down());
    let spare = at("spare", Tier::L1, Reply::text("a"));
    let route = World(vec![main.clone(), spare.clone()]).route();
    let targets = Targets::new([main.deployment()]);
    let request = ask("hi").route(RouteHint::to(targets.clone()));
    assert_eq!(
        route.clone().oneshot(request).await.unwrap_err().kind(),
        ErrorKind::Upstream
    );
    let request = ask("hi").route(RouteHint::to(targets.or_else([spare.deployment()])));
    let answer = route.oneshot(request).await.unwrap();
    assert!(answer.meta.fallback);
}

#[tokio::test]
async fn a_fallback_is_no_way_around_the_lowest_tier_of_a_call() {
    let main = at("main", Tier::L2, down());
    let small = at("small", Tier::L0, Reply::text("a"));
    let large = at("large", Tier::L3, Reply::text("a"));
    let route = World(vec![main.clone(), small.clone(), large.clone()]).route();
    let asking = |fallbacks: [&Scripted; 2]| {
        let targets = Targets::new([main.deployment()]);
        let targets = targets.or_else(fallbacks.map(Scripted::deployment));
        ask("hi").route(RouteHint {
            min_tier: Tier::L2,
            ..RouteHint::to(targets)
        })
    };
    let request = asking([&small, &large]);
    let skipped = route.decide(&request).skipped;
    assert_eq!(skipped, [(small.deployment().id.clone(), Skipped::Tier)]);
    let answer = route.clone().oneshot(request).await.unwrap();
    assert_eq!(name(&answer), "large");
    let error = route.oneshot(asking([&small, &small])).await.unwrap_err();
    assert_eq!((error.message(), small.calls()), ("down", 0));
}

#[tokio::test]
async fn r33_the_dry_run_decides_as_the_call_does() {
    let world = World(vec![
        at("b", Tier::L1, Reply::text("a")),
        at("a", Tier::L0, Reply::text("a")),
    ]);
    let request = ask("refactor this function").route(RouteHint::to(world.targets()));
    let decision = world.route().decide(&request);
    assert_eq!(world.calls(), [0, 0]);
    assert_eq!(decision.class.task, Task::Code);
    let answer = world.route().oneshot(request).await.unwrap();
    assert_eq!(
        Some(&decision.candidates[0].deployment),
        answer.meta.deployment.as_ref()
    );
}

#[tokio::test]
async fn attempts_that_are_used_up_end_the_search() {
    let world = World(vec![
        at("a", Tier::L0, down()),
        at("b", Tier::L1, Reply::text("a")),
    ]);
    let call = Call {
        max_attempts: 0,
        ..Call::new("t")
    };
    let request = ModelRequest {
        ctx: CallContext::new(call),
        ..ask("hi")
    };
    assert!(world.call(request).await.is_err());
    assert_eq!(world.calls(), [1, 0]);
}

#[test]
fn the_heuristic_tells_kinds_of_work_apart() {
    let class = |text: &str| Heuristic::new().classify(&ask(text));
    assert_eq!(
        class("hello"),
        Class {
            task: Task::General,
            complexity: Complexity::Low
        }
    );
    assert_eq!(class("fix this bug:\n```fn main() {}```").task, Task::Code);
    assert_eq!(
        class("prove that there are infinitely many primes").task,
        Task::Reasoning
    );
    assert!(class(&"long ".repeat(2000)).complexity > Complexity::Low);
    let _ = Arc::new(Heuristic::new()) as Arc<dyn Classifier>;
}

#[tokio::test]
async fn a_prompt_is_too_long_only_when_there_is_no_doubt() {
    let short = Deployment {
        context_window: Some(100),
        ..Deployment::new("p", "short").capabilities([Capability::General, Capability::Vision])
    };
    let world = World(vec![Scripted::at(short, [Reply::text("a")])]);
    let data = "QUJD".repeat(5_000);
    let says = |content: serde_json::Value| {
        chat(&json!({"messages": [{"role": "user", "content": content}]}))
    };
    let said =
        |part: serde_json::Value| says(json!([{"type": "text", "text": "what is it?"}, part]));
    // Six bytes for each letter, as some clients write them.
    let escaped: String = LONG
        .chars()
        .map(|c| format!("\\u04{:02x}", c as u32))
        .collect();
    let escaped = format!(
        r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#,
        escaped.repeat(10)
    );
    let with_schema = json!({
        "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"note": data},
    });
    for (what, fits) in [
        (
            "file",
            said(json!({"type": "file", "file": {"file_data": data}})),
        ),
        (
            "sound",
            said(json!({"type": "input_audio", "input_audio": {"data": data}})),
        ),
        (
            "clip",
            said(json!({"type": "video_url", "video_url": {"url": data}})),
        ),
        (
            "escapes",
            ModelRequest {
                body: RawObject::parse(escaped.into()).unwrap(),
                ..ask("")
            },
        ),
        (
            "spaces",
            says(json!(format!("fn f() {{{}}}", " ".repeat(20_000)))),
        ),
        ("what nobody reads", chat(&with_schema)),
    ] {
        assert!(world.call(fits).await.is_ok(), "{what}");
    }
    let error = world.call(says(json!(LONG.repeat(20)))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextTooLong);
}

#[tokio::test]
async fn texts_that_are_embedded_are_as_long_as_each_is() {
    let short = Deployment {
        context_window: Some(100),
        ..Deployment::new("p", "vectors").capabilities([Capability::Embeddings])
    };
    let world = World(vec![Scripted::at(short, [Reply::text("a")])]);
    let embed = |input: serde_json::Value| ModelRequest {
        op: Operation::Embeddings,
        ..chat(&json!({"model": "vectors", "input": input}))
    };
    let many = json!(vec![LONG; 200]);
    assert!(world.call(embed(many)).await.is_ok());
    let error = world.call(embed(json!(LONG.repeat(20)))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextTooLong);
}

const HARD: &str = "prove step by step and compare: design a plan to optimise this";

fn tower(replies: impl IntoIterator<Item = (Tier, Reply)>) -> World {
    let all = replies.into_iter().enumerate();
    World(
        all.map(|(i, (tier, reply))| at(&format!("m{i}"), tier, reply))
            .collect(),
    )
}

#[tokio::test]
async fn a_climb_goes_up_one_tier_however_hard_the_question_looks() {
    let refusal = || Reply::text("I'm sorry, but I can't help with that.");
    for (request, start) in [
        (ask(HARD), 1),
        (critical(ask("hi")), 1),
        (critical(ask(HARD)), 2),
    ] {
        let world = tower((0..4).map(|level| match level <= start {
            true => (Tier::new(level), refusal()),
            false => (Tier::new(level), Reply::text("done")),
        }));
        let escalate = EscalateLayer::new(StandardJudge::new()).layer(world.route());
        let hint = RouteHint::to(world.targets());
        let answer = escalate.oneshot(request.route(hint)).await.unwrap();
        let answered = answer.meta.deployment.unwrap().tier.level();
        assert_eq!(answered, start + 1);
    }
}

#[tokio::test]
async fn reviewers_and_arbiters_are_asked_on_the_tier_that_was_chosen_for_them() {
    let objects = Reply::text(r#"{"agree": false, "confidence": 80, "issues": ["no"]}"#);
    let world = tower([
        (Tier::L0, Reply::text("a")),
        (Tier::L1, Reply::text("wrong")),
        (Tier::L1, objects),
        (Tier::L2, Reply::text("right")),
        (Tier::L3, Reply::text("dear")),
    ]);
    let check = CrossCheckLayer::new(When::Always).layer(world.route());
    let request = critical(ask("hi")).route(RouteHint::to(world.targets()));
    let answer = check.oneshot(request).await.unwrap();
    assert_eq!(name(&answer), "m3");
    assert_eq!(world.calls(), [0, 1, 1, 1, 0]);
}

#[tokio::test]
async fn a_request_that_starts_on_the_lowest_tier_does_so() {
    let world = tower([(Tier::L0, Reply::text("a")), (Tier::L1, Reply::text("a"))]);
    let hint = RouteHint {
        start: Start::Lowest,
        ..RouteHint::default()
    };
    let answer = world.call(critical(ask(HARD)).route(hint)).await.unwrap();
    assert_eq!(name(&answer), "m0");
}

#[tokio::test]
async fn what_answers_for_want_of_money_says_so_and_is_not_kept() {
    let broke = Reply::error(Error::new(ErrorKind::Budget, "no room"));
    let dear = Deployment::new("p", "dear").tier(Tier::L1);
    let world = World(vec![
        at("free", Tier::L0, Reply::text("poor")),
        Scripted::at(dear, [broke, Reply::text("rich")]),
    ]);
    let cache = CacheLayer::new(Arc::new(MemoryCache::new(1 << 20)), CacheScope::Tenant);
    let cached = cache.layer(world.route());
    let request = || critical(ask("hi")).route(RouteHint::to(world.targets()));
    let poor = cached.clone().oneshot(request()).await.unwrap();
    assert_eq!(name(&poor), "free");
    assert_eq!(
        poor.meta.notes,
        ["`p/free` answers in the place of another: no room"]
    );
    let _ = poor.body.collect(1 << 20).await.unwrap();
    let rich = cached.oneshot(request()).await.unwrap();
    assert_eq!((name(&rich), &rich.meta.notes[..]), ("dear", &[][..]));

    // Also where nobody was short of money, but all above were away.
    let world = tower([(Tier::L0, Reply::text("a")), (Tier::L1, down())]);
    let below = world.call(critical(ask("hi"))).await.unwrap();
    assert_eq!(below.meta.notes.len(), 1);
    // One above is as good.
    let world = tower([(Tier::L0, down()), (Tier::L1, Reply::text("a"))]);
    let above = world.call(ask("hi")).await.unwrap();
    assert_eq!(above.meta.notes.len(), 0);
}

#[tokio::test]
async fn of_the_gateways_own_limit_each_deployment_gets_what_it_can_give() {
    // (max_output, context_window, limit sent)
    let table = [
        (None, None, Some(16_384)),
        (Some(1000), None, Some(1000)),
        (Some(128_000), Some(200_000), Some(16_384)),
        (None, Some(16_384), None),
        (Some(1000), Some(16_384), Some(1000)),
    ];
    for own_limit in [true, false] {
        for (max_output, context_window, sent) in table {
            let deployment = Deployment {
                max_output,
                context_window,
                ..Deployment::new("p", "m")
            };
            let world = World(vec![Scripted::at(deployment, [Reply::text("a")])]);
            let body = json!({"model": "m", "max_completion_tokens": 16_384, "messages": [{"role": "user", "content": "hi"}]});
            let request = ModelRequest {
                own_limit,
                ..chat(&body)
            };
            world.call(request).await.unwrap();
            let seen = world.0[0].seen()[0].body.get_as("max_completion_tokens");
            let sent = if own_limit { sent } else { Some(16_384) };
            assert_eq!(seen.unwrap(), sent, "{max_output:?} {context_window:?}");
        }
    }
}
