use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::*;
use crate::{
    catalog::{Deployment, Money, Price, Targets},
    error::{Error, ErrorKind},
    layers::{
        cost::CostLayer,
        drain::{DrainLayer, Drains},
    },
    model::{
        Agreement, BoxModelService, Call, CallContext, Collected, ModelRequest, ModelResponse,
        Quality, RouteHint, Verdict,
    },
    store::{
        RowStatus,
        memory::{MemoryIdempotency, MemoryLedger},
    },
    testing::{Reply, Scripted, ask, ask_stream, chat, layer_contract},
};

/// The same call as a client repeats it: everything new but the name and the body.
fn named(name: &str, request: ModelRequest) -> ModelRequest {
    of("t", Some("k"), name, request)
}

fn of(tenant: &str, key: Option<&str>, name: &str, request: ModelRequest) -> ModelRequest {
    ModelRequest {
        ctx: CallContext::new(Call {
            key: key.map(Into::into),
            idempotency: Some(name.into()),
            ..Call::new(tenant)
        }),
        ..request
    }
}

fn store() -> Arc<MemoryIdempotency> {
    Arc::new(MemoryIdempotency::new(1 << 20))
}

/// A provider that takes money, under the layer and the one that charges.
fn stack(layer: &IdempotencyLayer, provider: &Scripted) -> BoxModelService {
    let cost = CostLayer::new(provider.deployment(), Arc::new(MemoryLedger::new(10)));
    let stack = ServiceBuilder::new().layer(layer.clone()).layer(cost);
    BoxModelService::new(stack.service(provider.clone()))
}

fn priced(replies: impl IntoIterator<Item = Reply>) -> Scripted {
    let price = Price::per_million("1".parse().unwrap(), "10".parse().unwrap());
    let deployment = Deployment {
        max_output: Some(100),
        ..Deployment::new("p", "m").price(price)
    };
    Scripted::at(deployment, replies)
}

async fn read(answer: Result<ModelResponse, Error>) -> Collected {
    answer.unwrap().body.collect(1 << 20).await.unwrap()
}

fn shown(answer: &Collected) -> String {
    format!("{answer:?}")
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    layer_contract(|probe| IdempotencyLayer::new(store()).layer(probe)).await;
    let store = store();
    let next = Arc::new(AtomicU32::new(0));
    layer_contract(|probe| {
        let next = next.clone();
        let name = move |mut request: ModelRequest| {
            let call = Call {
                idempotency: Some(next.fetch_add(1, Ordering::Relaxed).to_string().into()),
                ..(*request.ctx).clone()
            };
            request.ctx = CallContext::new(call);
            request
        };
        ServiceBuilder::new()
            .map_request(name)
            .layer(IdempotencyLayer::new(store.clone()))
            .service(probe)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fifty_at_once_are_one_call_with_one_answer() {
    for request in [ask("q"), ask_stream("q")] {
        let provider = priced([Reply::text("a b c").after(Duration::from_secs(3))]);
        let stack = stack(&IdempotencyLayer::new(store()), &provider);
        let targets = Targets::new([provider.deployment()]);
        let request = request.route(RouteHint::to(targets));
        let calls = (0..50).map(|_| {
            let call = stack.clone().oneshot(named("n", request.clone()));
            async { read(call.await).await }
        });
        let answers = join_all(calls).await;
        assert_eq!(provider.calls(), 1);
        assert!(answers.iter().all(|a| shown(a) == shown(&answers[0])));
        assert_eq!(answers[0].whole, !request.wants_stream());

        sleep(Duration::from_secs(23 * 3600)).await;
        let again = named("n", request);
        let answer = stack.oneshot(again.clone()).await.unwrap();
        assert!(answer.meta.replayed);
        assert_eq!(answer.meta.deployment.unwrap().id.as_str(), "p/m");
        let replayed = answer.body.collect(1 << 20).await.unwrap();
        assert_eq!(shown(&replayed), shown(&answers[0]));
        assert_eq!(again.ctx.spent(), Money::ZERO);
        assert_eq!(provider.calls(), 1);
    }
}

#[tokio::test]
async fn a_name_is_one_keys_and_stands_for_one_question() {
    let provider = Scripted::new(Reply::text("ok"));
    let layer = IdempotencyLayer::new(store());
    let stack = layer.layer(provider.clone());
    let call = |request| stack.clone().oneshot(request);
    read(call(named("n", ask("q"))).await).await;
    for (n, other) in [
        of("u", Some("k"), "n", ask("q")),
        of("t", Some("l"), "n", ask("q")),
        of("t", None, "n", ask("q")),
        of("t", Some(""), "n", ask("q")),
        named("o", ask("q")),
    ]
    .into_iter()
    .enumerate()
    {
        read(call(other).await).await;
        assert_eq!(provider.calls(), n + 2);
    }
    let mut member = json!({ "model": "auto", "messages": [{ "role": "user", "content": "q" }] });
    let calls = provider.calls();
    read(call(named("n", chat(&member))).await).await;
    member["unknown"] = json!(1);
    let with = |change: fn(&mut Call)| {
        let mut call = (*named("n", ask("q")).ctx).clone();
        change(&mut call);
        ModelRequest {
            ctx: CallContext::new(call),
            ..ask("q")
        }
    };
    for different in [
        named("n", ask("r")),
        named("n", ask_stream("q")),
        named("n", chat(&member)),
        with(|call| call.quality = Quality::High),
        with(|call| call.conversation = Some("c".into())),
        with(|call| call.conversation = Some("".into())),
    ] {
        let error = call(different).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.status().as_u16()),
            (ErrorKind::Reused, 422)
        );
        assert!(error.message().contains("a new request needs a new key"));
    }
    assert_eq!(provider.calls(), calls);
    for _ in 0..2 {
        read(call(ask("q")).await).await;
    }
    assert_eq!(provider.calls(), calls + 2, "without a name, each is new");
}

#[tokio::test(start_paused = true)]
async fn a_repetition_waits_as_long_as_it_may() {
    let provider = Scripted::new(Reply::text("ok").after(Duration::from_secs(60)));
    let layer = IdempotencyLayer::new(store()).wait(Duration::from_secs(20));
    let stack = layer.layer(provider.clone());
    let first = stack.clone().oneshot(named("n", ask("q")));
    let repetitions = async {
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        let error = stack.clone().oneshot(named("n", ask("q"))).await;
        let error = error.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), 20);
        assert_eq!(
            (error.kind(), error.status().as_u16()),
            (ErrorKind::Conflict, 409)
        );
        assert!(error.get_retry_after().is_some());

        let mut hasty = named("n", ask("q"));
        hasty.ctx = CallContext::new(Call {
            deadline: Some(Instant::now() + Duration::from_secs(2)),
            ..(*hasty.ctx).clone()
        });
        let start = Instant::now();
        assert!(stack.clone().oneshot(hasty).await.is_err());
        assert_eq!(start.elapsed().as_secs(), 2);
    };
    let (first, ()) = futures_util::future::join(first, repetitions).await;
    read(first).await;
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_kept_only_if_it_has_cost_something() {
    let refused = Error::new(ErrorKind::Upstream, "busy")
        .upstream_status(http::StatusCode::SERVICE_UNAVAILABLE);
    let wait = Duration::from_secs(1);
    let provider = priced([Reply::error(refused).after(wait), Reply::text("ok")]);
    let stack_ = stack(&IdempotencyLayer::new(store()), &provider);
    let calls = (0..5).map(|_| stack_.clone().oneshot(named("n", ask("q"))));
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap_err().message(), "busy", "who waited gets it");
    }
    assert_eq!(provider.calls(), 1);
    read(stack_.oneshot(named("n", ask("q"))).await).await;
    assert_eq!(provider.calls(), 2);

    let cut = Error::new(ErrorKind::Cut, "it broke off").retry_after(wait);
    let provider = priced([Reply::text("a b c").fail_after(2, cut), Reply::text("ok")]);
    let stack = stack(&IdempotencyLayer::new(store()), &provider);
    let first = stack.clone().oneshot(named("n", ask_stream("q"))).await;
    let error = first.unwrap().body.collect(9999).await.unwrap_err();
    assert_eq!(error.get_retry_after(), Some(wait));
    let error = stack
        .oneshot(named("n", ask_stream("q")))
        .await
        .unwrap_err();
    assert_eq!(error.message(), "it broke off");
    assert_eq!(error.get_retry_after(), None, "waiting is of no use");
    assert_eq!(provider.calls(), 1, "nobody pays twice under one name");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_what_may_still_be_paid_for_is_kept_too() {
    let late = || Error::new(ErrorKind::Timeout, "not yet");
    for (error, calls) in [(late(), 2), (late().may_be_billed(), 1)] {
        let provider = Scripted::new(Reply::text("ok"));
        let asked = provider.clone();
        // Nothing is charged: the attempt goes on elsewhere.
        let leaf = tower::service_fn(move |request| {
            let (answering, error) = (asked.clone().oneshot(request), error.clone());
            async move {
                drop(answering.await?);
                Err::<ModelResponse, _>(error)
            }
        });
        let stack = IdempotencyLayer::new(store()).layer(leaf);
        for _ in 0..2 {
            let answer = stack.clone().oneshot(named("n", ask("q"))).await;
            assert_eq!(answer.unwrap_err().message(), "not yet");
        }
        assert_eq!(provider.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_first_client_leaves_the_next_takes_its_place() {
    let provider = priced([Reply::text("a b c").gap(Duration::from_secs(2))]);
    let stack = stack(&IdempotencyLayer::new(store()), &provider);
    let mut first = stack
        .clone()
        .oneshot(named("n", ask_stream("q")))
        .await
        .unwrap();
    first.body.next().await.unwrap().unwrap();
    let leaving = async {
        sleep(Duration::from_secs(1)).await;
        drop(first);
    };
    let second = async { read(stack.oneshot(named("n", ask_stream("q"))).await).await };
    futures_util::future::join(leaving, second).await;
    assert_eq!(provider.calls(), 2);
}

/// One place to drain, around the calls that are carried out.
fn drained(provider: &Scripted) -> (Drains, BoxModelService) {
    let drains = Drains::new(1, Duration::from_secs(60));
    let layer = IdempotencyLayer::new(store()).around(DrainLayer::new(drains.clone()));
    (drains, BoxModelService::new(layer.layer(provider.clone())))
}

#[tokio::test(start_paused = true)]
async fn with_a_drain_around_it_the_answer_waits_for_a_client_that_left() {
    let provider = priced([Reply::text("a b c").gap(Duration::from_secs(2))]);
    let (drains, stack) = drained(&provider);
    let mut first = stack
        .clone()
        .oneshot(named("n", ask_stream("q")))
        .await
        .unwrap();
    first.body.next().await.unwrap().unwrap();
    drop(first);
    assert_eq!(drains.running(), 1);
    let answer = read(stack.clone().oneshot(named("n", ask_stream("q"))).await).await;
    assert_eq!((provider.calls(), answer.data.len() > 3), (1, true));

    drop(stack.oneshot(ask_stream("q")).await.unwrap());
    assert_eq!(drains.running(), 0, "without a name nobody waits for it");
}

#[tokio::test(start_paused = true)]
async fn repetitions_whose_clients_leave_take_no_place_of_the_call_that_they_wait_for() {
    let provider = priced([Reply::text("a b c").after(Duration::from_secs(9))]);
    let (drains, stack) = drained(&provider);
    let call = || stack.clone().oneshot(named("n", ask_stream("q")));
    let second = Duration::from_secs(1);
    {
        let mut first = std::pin::pin!(call());
        assert!(timeout(second, &mut first).await.is_err());
        for _ in 0..3 {
            assert!(timeout(second, call()).await.is_err());
            assert_eq!(drains.running(), 0);
        }
    }
    assert_eq!((drains.running(), provider.cut()), (1, 0));
    let answer = call().await.unwrap();
    assert!(answer.meta.replayed);
    assert_eq!((provider.calls(), provider.cut()), (1, 0));
}

#[tokio::test]
async fn what_was_said_about_an_answer_is_said_again() {
    let verdict = Verdict {
        agreement: Agreement::Differ(vec!["the year".to_owned()]),
        confidence: 60,
        reviewers: vec!["q/r".into()],
        cost: Money::from_nanos(7),
    };
    let said = verdict.clone();
    let provider = Scripted::new(Reply::text("ok"));
    let inner = ServiceBuilder::new()
        .map_response(move |mut answer: ModelResponse| {
            answer.meta.fallback = true;
            answer.meta.forgetful = true;
            answer.meta.verdict = Some(said.clone());
            answer.meta.notes.push("no budget to climb".into());
            answer
        })
        .service(provider.clone());
    let stack = IdempotencyLayer::new(store()).layer(inner);
    read(stack.clone().oneshot(named("n", ask("q"))).await).await;
    let again = stack.oneshot(named("n", ask("q"))).await.unwrap().meta;
    assert!(again.replayed && again.fallback && again.forgetful);
    assert_eq!(again.verdict, Some(verdict));
    assert_eq!(again.notes, ["no budget to climb"]);
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn of_a_long_answer_only_the_fact_is_kept() {
    let provider = Scripted::new(Reply::text(&"x".repeat(2000)));
    let stack = IdempotencyLayer::new(store())
        .max_bytes(1000)
        .layer(provider.clone());
    read(stack.clone().oneshot(named("n", ask("q"))).await).await;
    let error = stack.oneshot(named("n", ask("q"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("use another key"), "{error}");
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn a_repetition_leaves_a_row_of_cost_nothing() {
    let provider = Scripted::new(Reply::text("ok"));
    let ledger = Arc::new(MemoryLedger::new(10));
    let stack = IdempotencyLayer::new(store())
        .ledger(ledger.clone())
        .layer(provider.clone());
    let request = ask("q").route(RouteHint::to(Targets::new([provider.deployment()])));
    for _ in 0..3 {
        read(stack.clone().oneshot(named("n", request.clone())).await).await;
    }
    let rows = ledger.rows();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| {
        (row.status, row.cost, row.attempt) == (RowStatus::CacheHit, Money::ZERO, 0)
    }));
}
