//! The one rule of what an attempt is charged, as ledger and budget see it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use http::StatusCode;
use proptest::prelude::*;
use rungs::{
    Error, ErrorKind, Retry,
    catalog::{ClassPrices, Deployment, Money, Price, ServiceClass, Thinking},
    layers::{budget::BudgetLayer, cost::CostLayer},
    model::{Call, CallContext, Charge, End, ModelRequest, TokenBound, Usage, Violation},
    store::{
        Budgets, CostSource, LedgerRow, Window,
        memory::{MemoryBudgets, MemoryLedger},
    },
    testing::{Reply, Scripted, ask, ask_stream, chat},
};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt};

const ACCOUNT: &str = "key:k";

fn usd(text: &str) -> Money {
    text.parse().unwrap()
}

fn priced() -> Deployment {
    Deployment {
        max_output: Some(100),
        price_version: Some("2026-11".into()),
        ..Deployment::new("p", "m").price(Price::per_million(usd("1"), usd("10")))
    }
}

/// What came of one attempt under a budget.
struct Outcome {
    row: Option<LedgerRow>,
    posted: Money,
    worst: Money,
    error: Option<Error>,
}

/// Plays one attempt; `frames` are read of its answer, or all.
async fn play(
    deployment: Deployment,
    request: ModelRequest,
    reply: Reply,
    frames: Option<usize>,
) -> Outcome {
    let provider = Scripted::at(deployment, [reply]);
    let deployment = provider.deployment();
    let ledger = Arc::new(MemoryLedger::default());
    let book = Arc::new(MemoryBudgets::new());
    book.set(ACCOUNT, vec!["1000000".parse().unwrap()]);
    let stack = ServiceBuilder::new()
        .layer(BudgetLayer::new(deployment.clone(), book.clone()))
        .layer(CostLayer::new(deployment.clone(), ledger.clone()))
        .service(provider);
    let call = Call {
        accounts: Arc::new([ACCOUNT.into()]),
        ..Call::new("t")
    };
    let request = ModelRequest {
        ctx: CallContext::new(call),
        ..request
    };
    let bound = TokenBound::of(&request, &deployment).unwrap();
    let error = match stack.oneshot(request).await {
        Err(error) => Some(error),
        Ok(mut answer) => {
            match frames {
                None => drop(answer.body.collect(usize::MAX).await),
                Some(frames) => {
                    for _ in 0..frames {
                        answer.body.next().await;
                    }
                }
            }
            None
        }
    };
    let balance = book.balance(ACCOUNT).unwrap();
    assert!(balance.reserved.is_zero(), "something is still held");
    Outcome {
        row: ledger.rows().pop(),
        posted: balance.posted,
        worst: bound.cost(&deployment).unwrap_or_default(),
        error,
    }
}

#[tokio::test]
async fn a_row_is_in_the_windows_that_its_cost_was_held_in() {
    let provider = Scripted::at(priced(), [Reply::text("a").usage(Usage::new(10, 1))]);
    let deployment = provider.deployment();
    let ledger = Arc::new(MemoryLedger::default());
    let midnight = Window::DAY.start(SystemTime::now());
    let late = midnight - Duration::from_millis(1);
    let book = Arc::new(MemoryBudgets::with_clock(move || late));
    book.set(ACCOUNT, vec!["1/day".parse().unwrap()]);
    let stack = ServiceBuilder::new()
        .layer(BudgetLayer::new(deployment.clone(), book))
        .layer(CostLayer::new(deployment, ledger.clone()))
        .service(provider);
    for accounts in [vec![ACCOUNT.into()], Vec::new()] {
        let call = Call {
            accounts: accounts.into(),
            ..Call::new("t")
        };
        let request = ModelRequest {
            ctx: CallContext::new(call),
            ..ask("q")
        };
        let answer = stack.clone().oneshot(request).await.unwrap();
        drop(answer.body.collect(usize::MAX).await);
    }
    let started: Vec<_> = ledger.rows().iter().map(|row| row.started).collect();
    assert_eq!(started[0], late, "however long it has taken since");
    assert!(started[1] >= midnight, "nobody has held anything");
}

async fn told(usage: Usage, cost: Option<&str>) -> (LedgerRow, Money) {
    let mut reply = Reply::text("a").usage(usage);
    if let Some(cost) = cost {
        reply = reply.cost(usd(cost));
    }
    let Outcome {
        row, posted, worst, ..
    } = play(priced(), ask("q"), reply, None).await;
    let row = row.unwrap();
    assert_eq!(row.cost, posted);
    (row, worst)
}

#[tokio::test]
async fn r2_tokens_that_cannot_be_are_clamped_and_flagged() {
    for usage in [
        Usage::new(100_000_000, 1),
        Usage::new(1, 101),
        Usage::new(u64::MAX, u64::MAX),
        Usage {
            reasoning: 100,
            ..Usage::new(1, 1)
        },
        Usage {
            cache_read: 10_000,
            ..Usage::new(1, 1)
        },
    ] {
        let (row, worst) = told(usage, None).await;
        assert!(row.clamped, "{usage:?}");
        let clamped = row.usage.unwrap();
        let (input, output) = (clamped.total_input(), clamped.total_output());
        assert!(input < 2_000 && output <= 100, "{clamped:?}");
        let cost = priced().price.unwrap().worst_case(input, output);
        assert_eq!((row.cost, row.source), (cost, CostSource::Unknown));
        assert!(cost <= worst);
    }
    let (row, worst) = told(Usage::new(1, 100), None).await;
    assert!(!row.clamped && row.cost < worst);
}

#[tokio::test]
async fn r2_a_reported_cost_is_believed_also_where_it_is_more() {
    let usage = Usage::new(10, 1);
    // Ten input tokens at $1 and one output token at $10 a million are 20,000 nano-dollars.
    let (row, worst) = told(usage, Some("0.000019")).await;
    assert_eq!(
        (row.cost.nanos(), row.source),
        (19_000, CostSource::Reported)
    );
    let above = worst + Money::from_nanos(1);
    let (row, _) = told(usage, Some(&above.to_string())).await;
    assert_eq!((row.cost, row.source), (above, CostSource::Reported));
    assert!(!row.clamped);
    // What cannot be a bill is none, and a zero is what a server says that does not know.
    for no_bill in ["-0.000001", "10000.000000001", "0"] {
        let (row, _) = told(usage, Some(no_bill)).await;
        assert_eq!(
            (row.cost.nanos(), row.source),
            (20_000, CostSource::Computed)
        );
    }
    // Who is wrong about the tokens is not believed about a lower cost, but about a higher one.
    let absurd = Usage::new(1, 1_000_000);
    let (row, _) = told(absurd, Some("0.000001")).await;
    assert_eq!((row.cost, row.clamped), (usd("0.001001"), true));
    let (row, _) = told(absurd, Some("0.5")).await;
    assert_eq!((row.cost, row.clamped), (usd("0.5"), true));
}

/// xAI's models are told some hundred tokens before each prompt, and its bill names them.
#[tokio::test]
async fn what_a_provider_tells_its_models_unasked_is_no_lie() {
    let deployment = Deployment {
        max_output: Some(1_000_000),
        ..priced()
    };
    let hidden = Usage {
        cache_read: 679,
        ..Usage::new(7, 9)
    };
    let reply = Reply::text("Hi").usage(hidden).cost(usd("0.0005"));
    let row = play(deployment, ask("Hello"), reply, None).await.row;
    let row = row.unwrap();
    assert!(!row.clamped);
    assert_eq!((row.cost, row.usage), (usd("0.0005"), Some(hidden)));
}

#[tokio::test]
async fn too_much_of_one_side_is_no_word_about_the_other() {
    let told = |usage| async move {
        let deployment = Deployment {
            max_output: Some(1_000_000),
            ..priced()
        };
        let reply = Reply::text("a").usage(usage);
        let outcome = play(deployment, ask("q"), reply, None).await;
        let row = outcome.row.unwrap();
        assert!(row.clamped && row.cost == outcome.posted);
        (row.usage.unwrap(), row.cost)
    };
    let output = Usage {
        reasoning: 3,
        ..Usage::new(50_000, 1)
    };
    let (used, cost) = told(output).await;
    assert_eq!((used.output, used.reasoning), (1, 3));
    assert!(used.input < 2_000 && cost < usd("0.01"), "{used:?} {cost}");
    let (used, _) = told(Usage::new(5, 2_000_000)).await;
    assert_eq!((used.input, used.output), (5, 1_000_000));
}

#[tokio::test]
async fn r2_a_free_model_that_charges_is_charged() {
    let free = Deployment::new("p", "m").price(Price::FREE);
    let reply = Reply::text("a").cost(usd("0.01"));
    let deployment = Deployment {
        max_output: Some(100),
        ..free
    };
    let outcome = play(deployment, ask("q"), reply, None).await;
    assert_eq!(outcome.posted, usd("0.01"));
    assert_eq!(outcome.row.unwrap().cost, outcome.posted);
}

#[tokio::test]
async fn r15_who_asks_to_be_served_sooner_pays_the_price_of_that() {
    let request = chat(&json!({
        "messages": [{ "role": "user", "content": "q" }],
        "service_tier": "priority",
    }));
    let refused = play(priced(), request.clone(), Reply::text("a"), None).await;
    let error = refused.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert!(
        error
            .message()
            .contains("`m` has no price for that `service_tier`")
    );
    assert!(refused.row.is_none() && refused.posted.is_zero());

    let prices = ClassPrices {
        priority: Some(Price::per_million(usd("2"), usd("20"))),
        ..ClassPrices::default()
    };
    let dearer = Deployment {
        class_prices: prices,
        ..priced()
    };
    let usual = TokenBound::of(&request, &priced()).unwrap();
    let usual = priced()
        .price
        .unwrap()
        .worst_case(usual.input, usual.output);
    let cut = play(dearer, request, Reply::text("a b c").stop_after(1), None).await;
    assert_eq!(cut.worst.nanos(), usual.nanos() * 2);
}

/// A project may have a usual class of its own, that the request does not name.
#[test]
fn an_answer_in_a_class_without_a_price_is_charged_in_full_and_flagged() {
    let end = End {
        usage: Some(Usage::new(1, 1)),
        class: ServiceClass::Priority,
        ..End::default()
    };
    let bound = TokenBound::of(&ask("q"), &priced()).unwrap();
    let ending = rungs::model::Ending::Complete(&end);
    let charge = Charge::of(&priced(), Some(bound), ending, Usage::default());
    assert_eq!(charge.cost, bound.cost(&priced()).unwrap());
    assert_eq!(charge.violation, Some(Violation::Cost));
}

/// What a budget cannot answer for is not sent.
#[tokio::test]
async fn a_request_that_may_cost_more_than_tokens_is_not_sent() {
    let request = chat(&json!({ "messages": [], "max_tokens": 1, "models": ["dear"] }));
    for deployment in [priced(), priced().price(Price::FREE)] {
        let refused = play(deployment, request.clone(), Reply::text("a"), None).await;
        let error = refused.error.unwrap();
        assert_eq!(
            (error.kind(), error.get_param()),
            (ErrorKind::Invalid, Some("models"))
        );
        // Another deployment may know better.
        assert_eq!(error.retry(), Retry::Other);
        assert!(refused.row.is_none() && refused.posted.is_zero());
    }
}

#[derive(Debug, Clone)]
enum Ending {
    Whole,
    Left(usize),
    Stops(usize),
    Fails(usize),
    Refused,
    TimedOut,
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => Just(Ending::Whole),
        1 => (0usize..4).prop_map(Ending::Left),
        1 => (0usize..4).prop_map(Ending::Stops),
        1 => (0usize..4).prop_map(Ending::Fails),
        1 => Just(Ending::Refused),
        1 => Just(Ending::TimedOut),
    ]
}

proptest! {
    /// Whatever a provider tells and however an attempt ends: the ledger and the budget have the same cost, it is never negative,
    /// and only a cost that the provider reports is above the worst case.
    #[test]
    fn r2_ledger_and_budget_never_disagree(
        ending in endings(),
        streamed in any::<bool>(),
        free in any::<bool>(),
        tokens in prop::array::uniform6(prop_oneof![0u64..60, Just(100_000_000), Just(u64::MAX / 64)]),
        cost in prop::option::of(prop_oneof![-1_000i64..3_000_000, Just(i64::MAX), Just(i64::MIN + 1)]),
    ) {
        let [input, cache_read, cache_write_5m, cache_write_1h, output, reasoning] = tokens;
        let usage = Usage { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning };
        let mut reply = Reply::text("a b c d e").usage(usage);
        if let Some(nanos) = cost {
            reply = reply.cost(Money::from_nanos(nanos));
        }
        let mut frames = None;
        match ending {
            Ending::Whole => {}
            Ending::Left(n) => frames = Some(n),
            Ending::Stops(n) => reply = reply.stop_after(n),
            Ending::Fails(n) => reply = reply.fail_after(n, Error::new(ErrorKind::Timeout, "late")),
            Ending::Refused => {
                let error = Error::new(ErrorKind::Upstream, "no");
                reply = Reply::error(error.upstream_status(StatusCode::BAD_GATEWAY));
            }
            Ending::TimedOut => reply = Reply::error(Error::new(ErrorKind::Timeout, "late")),
        }
        let deployment = match free {
            true => Deployment { price: Some(Price::FREE), ..priced() },
            false => priced(),
        };
        let request = if streamed { ask_stream("q") } else { ask("q") };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(play(deployment, request, reply, frames));
        let row = outcome.row.unwrap();
        prop_assert_eq!(row.cost, outcome.posted);
        prop_assert!(row.cost >= Money::ZERO);
        prop_assert!(row.cost <= outcome.worst || row.source == CostSource::Reported);
        let usage = row.usage.unwrap_or_default();
        prop_assert!(usage.total_input() < 2_000 && usage.total_output() <= 100);
    }
}

#[test]
fn the_bound_is_the_most_that_any_reading_of_the_limits_allows() {
    let output = |members: &str| {
        let body = format!(r#"{{"model":"m","messages":[],{members}}}"#);
        let request = chat(&serde_json::from_str(&body).unwrap());
        let deployment = Deployment {
            max_output: Some(1_000),
            context_window: Some(100_000),
            ..priced()
        };
        TokenBound::of(&request, &deployment).unwrap().output
    };
    assert_eq!(output(r#""max_tokens":8"#), 8);
    assert_eq!(output(r#""max_completion_tokens":8"#), 8);
    for (both, most) in [
        (r#""max_completion_tokens":1,"max_tokens":800"#, 800),
        (r#""max_tokens":1,"max_completion_tokens":800"#, 800),
        (r#""max_tokens":0"#, 1_000),
        (r#""max_tokens":0,"max_completion_tokens":8"#, 1_000),
        (r#""max_completion_tokens":0,"max_tokens":8"#, 1_000),
        // What a list says of the model does not bind who is sent something else.
        (r#""max_tokens":5000"#, 5_000),
        (r#""max_tokens":900000"#, 100_000),
        (r#""max_tokens":8,"prediction":"abc""#, 13),
        (r#""max_tokens":8,"n":0"#, 8),
        (r#""max_tokens":8,"n":3"#, 24),
    ] {
        assert_eq!(output(both), most, "{both}");
    }
}

/// What a configuration says of the longest answer binds a provider only if it is told.
#[test]
fn a_cap_bounds_the_answers_that_it_is_sent_for() {
    let bound = |prompt: usize, limit: Option<u64>, max_output| {
        let mut body = json!({ "model": "m", "messages": [], "user": "x".repeat(prompt) });
        if let Some(limit) = limit {
            body["max_tokens"] = limit.into();
        }
        let deployment = Deployment {
            max_output,
            output_cap: Some(1_000),
            context_window: Some(2_000),
            ..priced()
        };
        TokenBound::of(&chat(&body), &deployment).unwrap().output
    };
    assert_eq!(bound(10, None, None), 1_000);
    assert_eq!(
        bound(10, None, Some(700)),
        1_000,
        "the configuration knows better"
    );
    assert_eq!(bound(10, Some(1_500), None), 1_500);
    // Too long to be sent with the cap: the window or the vendor ends the answer.
    assert_eq!(bound(2_000, None, None), 2_000);
    assert_eq!(bound(2_000, None, Some(1_500)), 1_500);
    assert_eq!(bound(2_000, None, Some(700)), 1_000);
}

/// At Alibaba `max_tokens` is about the answer alone.
#[test]
fn what_is_thought_beside_an_answer_is_in_its_bound() {
    let bound = |thinking, context_window, members: &str| {
        let body = format!(r#"{{"model":"m","messages":[],{members}}}"#);
        let request = chat(&serde_json::from_str(&body).unwrap());
        let deployment = Deployment {
            max_output: Some(1_000),
            context_window,
            thinking,
            ..priced()
        };
        TokenBound::of(&request, &deployment).map(|bound| bound.output)
    };
    let window = Some(900_000);
    let asked = r#""max_tokens":1,"enable_thinking":true,"thinking_budget":81920"#;
    // Who takes a budget may think beside the limit, known or not.
    for thinking in [Thinking::Within, Thinking::Beside] {
        assert_eq!(bound(thinking, window, asked).unwrap(), 81_921);
        assert_eq!(bound(thinking, None, asked).unwrap(), 81_921);
        let twice = format!(r#"{asked},"n":2"#);
        assert_eq!(bound(thinking, window, &twice).unwrap(), 163_842);
        let answer = bound(thinking, window, r#""thinking_budget":5"#).unwrap();
        assert_eq!(answer, 1_005);
    }
    // A model may think though nobody asked for it, or asked for no end of it.
    for members in [
        r#""max_tokens":1"#,
        r#""max_tokens":1,"enable_thinking":false"#,
        r#""max_tokens":1,"thinking_budget":null"#,
        r#""max_tokens":1,"thinking_budget":0"#,
        r#""max_tokens":1,"thinking_budget":-1"#,
    ] {
        assert_eq!(bound(Thinking::Within, window, members).unwrap(), 1);
        let beside = bound(Thinking::Beside, window, members).unwrap();
        assert_eq!(beside, 900_000, "{members}");
        let error = bound(Thinking::Beside, None, members).unwrap_err();
        assert_eq!(error.get_param(), Some("thinking_budget"));
        assert_eq!(error.retry(), Retry::Other, "it is about one model");
    }
}
