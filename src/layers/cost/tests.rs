use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use http::StatusCode;
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::CostLayer;
use crate::{
    catalog::{Deployment, Money, Price},
    error::{Error, ErrorKind},
    model::{ModelRequest, Usage},
    store::{CostSource, Intent, Ledger, LedgerRow, RowStatus, StoreFuture, memory::MemoryLedger},
    testing::{Reply, Scripted, ask, ask_stream, chat},
};

fn priced() -> Deployment {
    let usd = |text: &str| text.parse().expect("dollars");
    Deployment {
        max_output: Some(100),
        ..Deployment::new("p", "m").price(Price::per_million(usd("1"), usd("10")))
    }
}

/// Asks, reads `frames` frames (all if `None`), and returns the one row, what the call was charged, and the true bill.
async fn row(
    reply: Reply,
    request: ModelRequest,
    frames: Option<usize>,
) -> (LedgerRow, Money, Money) {
    let ledger = Arc::new(MemoryLedger::new(100));
    let provider = Scripted::at(priced(), [reply]);
    let stack = ServiceBuilder::new()
        .layer(CostLayer::new(provider.deployment(), ledger.clone()))
        .service(provider.clone());
    let ctx = request.ctx.clone();
    if let Ok(mut answer) = stack.oneshot(request).await {
        match frames {
            None => drop(answer.body.collect(9999).await),
            Some(n) => {
                for _ in 0..n {
                    assert!(answer.body.next().await.is_some());
                }
            }
        }
    }
    let rows = ledger.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].cost, ctx.spent());
    (rows[0].clone(), ctx.spent(), provider.bill())
}

#[tokio::test]
async fn r3_a_complete_answer_costs_what_was_billed() {
    for request in [ask("q"), ask_stream("q")] {
        let reply = Reply::text("a b c").usage(Usage::new(100, 10));
        let (row, charged, bill) = row(reply, request, None).await;
        assert_eq!(
            (row.status, row.source),
            (RowStatus::Ok, CostSource::Computed)
        );
        assert_eq!(charged.to_string(), "0.0002");
        assert_eq!(charged, bill);
    }
}

#[tokio::test]
async fn r3_an_explicit_zero_usage_stays_zero() {
    let (row, charged, _) = row(Reply::text("a").usage(Usage::default()), ask("q"), None).await;
    assert_eq!((row.usage, charged), (Some(Usage::default()), Money::ZERO));
}

#[tokio::test]
async fn r3_a_client_who_leaves_leaves_a_row_that_is_not_below_the_bill() {
    let (row, charged, bill) = row(Reply::text("a b c d"), ask_stream("q"), Some(2)).await;
    assert_eq!(
        (row.status, row.source),
        (RowStatus::Cancelled, CostSource::Unknown)
    );
    assert!(row.usage.unwrap().output > 0);
    assert!(charged >= bill, "{charged} < {bill}");
}

#[tokio::test(start_paused = true)]
async fn r3_a_client_who_leaves_before_the_first_frame_leaves_a_row() {
    let ledger = Arc::new(MemoryLedger::new(100));
    let provider = Scripted::at(priced(), [Reply::hang()]);
    let stack = ServiceBuilder::new()
        .layer(CostLayer::new(provider.deployment(), ledger.clone()))
        .service(provider);
    let gone = tokio::time::timeout(Duration::from_secs(1), stack.oneshot(ask("q"))).await;
    assert!(gone.is_err());
    assert_eq!(ledger.rows()[0].status, RowStatus::Cancelled);
    assert!(ledger.rows()[0].cost > Money::ZERO);
}

#[tokio::test]
async fn r3_failures_before_the_answer_cost_nothing_if_the_provider_refused() {
    let refused =
        Error::new(ErrorKind::Upstream, "no").upstream_status(StatusCode::INTERNAL_SERVER_ERROR);
    let (refused, ..) = row(Reply::error(refused), ask("q"), None).await;
    assert_eq!(refused.status, RowStatus::Failed(ErrorKind::Upstream));
    assert_eq!(
        (refused.source, refused.cost),
        (CostSource::Nothing, Money::ZERO)
    );

    let (late, ..) = row(
        Reply::error(Error::new(ErrorKind::Timeout, "late")),
        ask("q"),
        None,
    )
    .await;
    assert_eq!(late.source, CostSource::Unknown);
    assert!(late.cost > Money::ZERO);
}

#[tokio::test]
async fn r5_a_truncated_stream_is_truncated_in_the_ledger() {
    let (row, charged, bill) = row(Reply::text("a b c").stop_after(2), ask_stream("q"), None).await;
    assert_eq!(row.status, RowStatus::Truncated);
    assert!(charged >= bill);
}

#[tokio::test]
async fn the_clients_own_limit_bounds_the_unknown() {
    let request = chat(
        &serde_json::json!({"messages": [{"role": "user", "content": "q"}], "stream": true, "max_tokens": 3}),
    );
    let bytes = request.body.as_bytes().len() as i64;
    let (_, charged, _) = row(Reply::text("a b c d"), request, Some(1)).await;
    assert_eq!(
        charged,
        Money::from_nanos((bytes + 1_024) * 1000 + 3 * 10_000)
    );
}

/// A ledger whose disk takes nothing.
struct Full(MemoryLedger);

impl Ledger for Full {
    fn begin(&self, _: &LedgerRow) -> Result<Intent, Error> {
        Err(Error::new(ErrorKind::Unavailable, "full"))
    }

    fn end(&self, intent: Intent, row: LedgerRow) {
        self.0.end(intent, row);
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.0.flush()
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        self.0.spent(account, since, until)
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_asked() {
    for (deployment, asked) in [(priced(), 0), (priced().price(Price::FREE), 1)] {
        let ledger = Arc::new(Full(MemoryLedger::new(100)));
        let provider = Scripted::at(deployment, [Reply::text("a")]);
        let layer = CostLayer::new(provider.deployment(), ledger.clone());
        let answer = layer.layer(provider.clone()).oneshot(ask("q")).await;
        assert_eq!(provider.calls(), asked);
        match answer {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
            Ok(answer) => drop(answer.body.collect(9999).await),
        }
        assert_eq!(ledger.0.rows().len() as u64, asked as u64);
    }
}
