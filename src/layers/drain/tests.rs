use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::{DrainLayer, Drains};
use crate::{
    catalog::{Deployment, Money, Price},
    error::{Error, ErrorKind},
    layers::{
        budget::BudgetLayer,
        cost::CostLayer,
        retry::{RetryConfig, RetryLayer},
    },
    model::{Call, CallContext, ModelRequest},
    store::{Balance, Budgets, CostSource, Hold, RowStatus, StoreFuture, memory::MemoryLedger},
    testing::{Reply, Scripted, ask, ask_stream, layer_contract},
};

struct Bench {
    provider: Scripted,
    ledger: Arc<MemoryLedger>,
    drains: Drains,
}

impl Bench {
    fn new(max: u32, reply: Reply) -> Self {
        let price = Price::per_million("1".parse().unwrap(), "10".parse().unwrap());
        let deployment = Deployment {
            max_output: Some(100),
            ..Deployment::new("p", "m").price(price)
        };
        Self {
            provider: Scripted::at(deployment, [reply]),
            ledger: Arc::new(MemoryLedger::new(10)),
            drains: Drains::new(max, Duration::from_secs(60)),
        }
    }

    /// Asks, reads `frames` frames within a second, and leaves.
    async fn leave_after(&self, request: ModelRequest, frames: usize) {
        let stack = ServiceBuilder::new()
            .layer(DrainLayer::new(self.drains.clone()))
            .layer(CostLayer::new(
                self.provider.deployment(),
                self.ledger.clone(),
            ))
            .service(self.provider.clone());
        let reading = async {
            let mut answer = stack.oneshot(request).await.unwrap();
            for _ in 0..frames {
                assert!(answer.body.next().await.unwrap().is_ok());
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), reading).await;
    }
}

fn slow() -> Reply {
    Reply::text("a b c d").gap(Duration::from_secs(2))
}

#[tokio::test(start_paused = true)]
async fn r10_a_drained_attempt_costs_exactly_what_was_billed() {
    for (request, reply) in [
        (ask_stream("q"), slow()),
        (ask_stream("q"), slow().after(Duration::from_secs(5))),
        (ask("q"), slow().after(Duration::from_secs(5))),
    ] {
        let bench = Bench::new(4, reply);
        bench.leave_after(request, 1).await;
        assert_eq!((bench.drains.running(), bench.ledger.rows().len()), (1, 0));
        bench.drains.finish().await;
        let rows = bench.ledger.rows();
        assert_eq!(
            (rows[0].status, rows[0].source),
            (RowStatus::Ok, CostSource::Computed)
        );
        assert_eq!(rows[0].cost, bench.provider.bill());
        assert_eq!((bench.drains.running(), bench.provider.cut()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn r10_beyond_the_cap_the_connection_is_closed() {
    let bench = Bench::new(1, slow());
    bench.leave_after(ask_stream("q"), 1).await;
    bench.leave_after(ask_stream("q"), 1).await;
    assert_eq!((bench.drains.running(), bench.provider.cut()), (1, 1));
    bench.drains.finish().await;
    let cancelled = bench
        .ledger
        .rows()
        .iter()
        .filter(|row| row.status == RowStatus::Cancelled)
        .count();
    assert_eq!((bench.ledger.rows().len(), cancelled), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn r10_a_provider_that_never_ends_is_left_in_time() {
    let bench = Bench::new(1, Reply::hang());
    bench.leave_after(ask_stream("q"), 1).await;
    assert_eq!(bench.provider.open(), 1);
    bench.drains.finish().await;
    assert_eq!((bench.provider.open(), bench.provider.cut()), (0, 1));
}

/// Has money for nobody at once, and for everybody in five seconds.
struct Soon;

impl Budgets for Soon {
    fn hold(&self, _: &[Arc<str>], _: Money) -> Result<Hold, Error> {
        Err(Error::new(ErrorKind::Budget, "not yet"))
    }

    fn wait<'a>(&'a self, _: &'a [Arc<str>], amount: Money) -> Option<StoreFuture<'a, Hold>> {
        Some(Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(Hold {
                amount,
                at: SystemTime::UNIX_EPOCH,
                serial: 0,
            })
        }))
    }

    fn settle(&self, _: &[Arc<str>], _: Hold, _: Money) {}

    fn balance(&self, _: &str) -> Option<Balance> {
        Some(Balance {
            budget: "1/day".parse().expect("a budget"),
            posted: Money::ZERO,
            reserved: Money::ZERO,
        })
    }
}

#[tokio::test(start_paused = true)]
async fn r10_nothing_is_begun_for_a_reader_who_has_left() {
    let bench = Bench::new(4, slow().after(Duration::from_secs(5)));
    let deployment = bench.provider.deployment();
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::new(RetryConfig::default()))
        .layer(DrainLayer::new(bench.drains.clone()))
        .layer(BudgetLayer::new(deployment.clone(), Arc::new(Soon)))
        .layer(CostLayer::new(deployment, bench.ledger.clone()))
        .service(bench.provider.clone());
    let asking = |seconds| {
        let mut request = ask_stream("q");
        request.ctx = CallContext::new(Call {
            accounts: Arc::new(["key:k".into()]),
            ..Call::new("t")
        });
        let asking = stack.clone().oneshot(request);
        tokio::time::timeout(Duration::from_secs(seconds), asking)
    };
    assert!(asking(4).await.is_err());
    assert_eq!(bench.drains.running(), 0, "it waited for money");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.provider.calls(), 0);

    assert!(asking(6).await.is_err());
    assert_eq!(bench.drains.running(), 1, "the money came, and it was sent");
    bench.drains.finish().await;
    assert_eq!(bench.ledger.rows()[0].status, RowStatus::Ok);
}

/// Without a place to drain it is as any other layer.
#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    let layer = DrainLayer::new(Drains::new(0, Duration::ZERO));
    layer_contract(|probe| layer.layer(probe)).await;
}
