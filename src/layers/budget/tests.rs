use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use http::StatusCode;
use serde_json::json;
use tower::{Service, ServiceBuilder, ServiceExt};

use super::BudgetLayer;
use crate::{
    catalog::{Deployment, Money, Price},
    error::{Error, ErrorKind},
    model::{Call, CallContext, ModelRequest, ModelResponse, Usage},
    store::{Budgets, Window, memory::MemoryBudgets},
    testing::{Reply, Scripted, ask, ask_stream, chat},
};

const ACCOUNT: &str = "key:k";

fn priced() -> Deployment {
    let usd = |text: &str| text.parse().expect("dollars");
    Deployment {
        max_output: Some(100),
        ..Deployment::new("p", "m").price(Price::per_million(usd("1"), usd("10")))
    }
}

struct Bench {
    book: Arc<MemoryBudgets>,
    provider: Scripted,
}

impl Bench {
    fn new(deployment: Deployment, budget: &str, reply: Reply) -> Self {
        let book = Arc::new(MemoryBudgets::new());
        book.set(ACCOUNT, vec![budget.parse().unwrap()]);
        Self {
            book,
            provider: Scripted::at(deployment, [reply]),
        }
    }

    async fn call(&self, request: ModelRequest) -> Result<ModelResponse, Error> {
        let call = Call {
            accounts: Arc::new([ACCOUNT.into()]),
            ..Call::new("t")
        };
        let request = ModelRequest {
            ctx: CallContext::new(call),
            ..request
        };
        let mut stack = ServiceBuilder::new()
            .layer(BudgetLayer::new(
                self.provider.deployment(),
                self.book.clone(),
            ))
            .service(self.provider.clone());
        stack.ready().await?.call(request).await
    }

    fn posted(&self) -> Money {
        self.book.balance(ACCOUNT).unwrap().posted
    }

    fn reserved(&self) -> Money {
        self.book.balance(ACCOUNT).unwrap().reserved
    }
}

#[tokio::test]
async fn the_worst_case_is_held_and_the_cost_is_posted() {
    let bench = Bench::new(priced(), "1", Reply::text("a").usage(Usage::new(10, 1)));
    let answer = bench.call(ask("q")).await.unwrap();
    // 100 output tokens at 10 $/M alone are 1,000,000 nano-dollars.
    assert!(bench.reserved() > Money::from_nanos(1_000_000));
    answer.body.collect(9999).await.unwrap();
    assert_eq!(
        (bench.reserved(), bench.posted()),
        (Money::ZERO, Money::from_nanos(20_000))
    );
    assert_eq!(bench.posted(), bench.provider.bill());
}

#[tokio::test]
async fn a_first_budget_counts_what_calls_under_way_have_cost() {
    let reply = || Reply::text("a b c").usage(Usage::new(10, 1));
    let bench = Bench::new(priced(), "1", reply());
    bench.book.set(ACCOUNT, Vec::new());
    let (answer, cut) = (
        bench.call(ask_stream("q")).await.unwrap(),
        bench.call(ask_stream("q")).await.unwrap(),
    );
    let budget = "1/day".parse().unwrap();
    bench.book.set(ACCOUNT, vec![budget]);
    answer.body.collect(9999).await.unwrap();
    let cost = Money::from_nanos(20_000);
    assert_eq!((bench.reserved(), bench.posted()), (Money::ZERO, cost));
    drop(cut);
    let other = Bench::new(priced(), "1", reply());
    drop(other.call(ask_stream("q")).await.unwrap());
    assert_eq!(bench.posted(), cost + other.posted(), "its worst case");
}

#[tokio::test]
async fn without_a_budget_a_call_may_ask_for_what_nothing_bounds() {
    let unbounded = Deployment {
        max_output: None,
        ..priced()
    };
    for deployment in [priced(), unbounded, Deployment::new("p", "mystery")] {
        let bench = Bench::new(deployment, "1", Reply::text("a"));
        bench.book.set(ACCOUNT, Vec::new());
        let searching = chat(&json!({
            "model": "auto",
            "messages": [{ "role": "user", "content": "q" }],
            "web_search_options": {},
        }));
        assert!(bench.call(searching).await.is_ok());
    }
}

#[tokio::test]
async fn what_is_unknown_is_charged_at_its_worst_case() {
    let bench = Bench::new(priced(), "1", Reply::text("a b c"));
    let mut answer = bench.call(ask_stream("q")).await.unwrap();
    let held = bench.reserved();
    assert!(answer.body.next().await.is_some());
    drop(answer);
    assert_eq!((bench.reserved(), bench.posted()), (Money::ZERO, held));
}

#[tokio::test(start_paused = true)]
async fn a_client_who_leaves_before_the_answer_has_spent_what_was_held() {
    let bench = Bench::new(priced(), "1", Reply::hang());
    assert!(
        tokio::time::timeout(Duration::from_secs(1), bench.call(ask("q")))
            .await
            .is_err()
    );
    assert_eq!(bench.reserved(), Money::ZERO);
    assert!(bench.posted() > Money::ZERO);
}

#[tokio::test]
async fn a_refusal_of_the_provider_costs_nothing() {
    let error = Error::new(ErrorKind::Upstream, "no").upstream_status(StatusCode::BAD_GATEWAY);
    let bench = Bench::new(priced(), "1", Reply::error(error));
    assert!(bench.call(ask("q")).await.is_err());
    assert_eq!(
        (bench.reserved(), bench.posted()),
        (Money::ZERO, Money::ZERO)
    );
}

#[tokio::test]
async fn r1_concurrent_calls_never_overspend() {
    // Room for three worst cases of the same request.
    let request = ask("q");
    let worst = (request.body.as_bytes().len() as i64 + 1_024) * 1000 + 100 * 10_000;
    let budget = Money::from_nanos(worst * 3 + worst / 2).to_string();
    let bench = Bench::new(
        priced(),
        &budget,
        Reply::text("a").after(Duration::from_millis(1)),
    );
    let calls = futures_util::future::join_all((0..200).map(|_| bench.call(ask("q")))).await;
    assert_eq!(calls.iter().filter(|c| c.is_ok()).count(), 3);
    assert_eq!(bench.provider.calls(), 3);
    let refused = calls.into_iter().find_map(Result::err).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Budget);
}

#[tokio::test]
async fn r15_a_model_without_a_price_is_never_free() {
    let bench = Bench::new(Deployment::new("p", "mystery"), "1", Reply::text("a"));
    let error = bench.call(ask("q")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert!(error.message().contains("mystery"));
    assert_eq!(bench.provider.calls(), 0);
}

#[tokio::test]
async fn a_budget_of_nothing_pays_for_free_models_only() {
    let free = Bench::new(
        Deployment::new("p", "m").price(Price::FREE),
        "0",
        Reply::text("a"),
    );
    assert!(free.call(ask("q")).await.is_ok());
    let dear = Bench::new(priced(), "0", Reply::text("a"));
    assert_eq!(
        dear.call(ask("q")).await.unwrap_err().kind(),
        ErrorKind::Budget
    );
}

#[tokio::test]
async fn a_spent_budget_pays_for_nothing() {
    let free = Bench::new(
        Deployment::new("p", "m").price(Price::FREE),
        "0.01/day",
        Reply::text("a"),
    );
    free.book
        .seed(ACCOUNT, &Window::DAY, "0.01".parse().unwrap());
    assert_eq!(
        free.call(ask("q")).await.unwrap_err().kind(),
        ErrorKind::Budget
    );
}
