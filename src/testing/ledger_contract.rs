//! What every ledger, and every sink of a journal, must do. Run each function against a fresh, empty one.
//!
//! The functions panic, as tests do, at the first promise that is not kept.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    catalog::{DeploymentId, Money, Tier},
    error::ErrorKind,
    model::{CostSource, Operation, Usage},
    store::{Durability, Entry, Ledger, LedgerRow, LedgerSink, RowStatus},
};

/// A row of attempt `attempt` of call `request`, of tenant `acme` and key `k_1`, that cost `nanos` and began `age` ago.
#[must_use]
pub fn row(request: &str, attempt: u32, nanos: i64, age: Duration) -> LedgerRow {
    LedgerRow {
        request: request.into(),
        attempt,
        tenant: "acme".into(),
        accounts: Arc::new(["global".into(), "key:k_1".into()]),
        key: Some("k_1".into()),
        user: None,
        conversation: None,
        op: Operation::Chat,
        deployment: DeploymentId::from("openai/gpt-4o-mini"),
        tier: Tier::L1,
        status: RowStatus::Ok,
        usage: Some(Usage::new(1_000, 200)),
        cost: Money::from_nanos(nanos),
        source: CostSource::Computed,
        price_version: Some("2026-11".into()),
        clamped: false,
        started: SystemTime::now() - age,
        first_frame_ms: Some(210),
        total_ms: 1_300,
    }
}

/// The same of an attempt that began by a clock that was years ahead.
fn ahead(request: &str, nanos: i64) -> LedgerRow {
    LedgerRow {
        started: SystemTime::now() + Duration::from_secs(3 * 365 * 86_400),
        ..row(request, 1, nanos, Duration::ZERO)
    }
}

/// What was recorded is in the sums after a flush: by account, from a point in time.
///
/// # Panics
/// When the store breaks its contract.
pub async fn ledger(ledger: &dyn Ledger) {
    let spent = async |account, age| {
        let since = SystemTime::now() - age;
        let sum = ledger.spent(account, since, None).await;
        sum.expect("the ledger answers").nanos()
    };
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(24 * 3_600));

    assert!(ledger.has_room());
    ledger
        .flush()
        .await
        .expect("flushing nothing is no failure");
    assert_eq!(spent("global", day).await, 0);

    let begun = ledger
        .begin(&row("req_1", 1, 1_000_000, Duration::ZERO))
        .expect("it can be written down");
    ledger.end(begun, row("req_1", 1, 5, Duration::ZERO));
    ledger.record(row("req_1", 2, 7, Duration::ZERO));
    ledger.record(row("req_2", 1, 100, 3 * hour));
    ledger.record(LedgerRow {
        key: None,
        accounts: Arc::new(["global".into(), "user:other/user".into()]),
        tenant: "other".into(),
        user: Some("user".into()),
        conversation: Some("conversation".into()),
        status: RowStatus::Failed(ErrorKind::Timeout),
        usage: None,
        source: CostSource::Unknown,
        first_frame_ms: None,
        ..row("req_3", 1, 1_000, Duration::ZERO)
    });
    ledger.record(LedgerRow {
        status: RowStatus::CacheHit,
        source: CostSource::Nothing,
        ..row("req_4", 0, 0, Duration::ZERO)
    });
    ledger.record(ahead("req_5", 10_000));
    for what in [Durability::Crash, Durability::PowerLoss] {
        if let Some(safe) = ledger.survives(what) {
            safe.await.expect("the rows are safe");
        }
    }
    // A window ends, and what is not of it does not count towards it: on its way, or there.
    let ended = async || {
        let now = SystemTime::now();
        for (until, nanos) in [(now + day, 1_112), (now - hour, 100), (now - day, 0)] {
            let sum = ledger.spent("global", now - day, Some(until)).await;
            assert_eq!(sum.expect("the ledger answers").nanos(), nanos);
        }
    };
    ended().await;
    ledger.flush().await.expect("the rows are written");
    ended().await;

    assert_eq!(spent("global", day).await, 11_112);
    assert_eq!(spent("global", hour).await, 11_012);
    assert_eq!(spent("key:k_1", day).await, 10_112);
    assert_eq!(spent("key:k_1", hour).await, 10_012);
    assert_eq!(spent("key:k_2", day).await, 0);
    assert_eq!(spent("user:other/user", day).await, 1_000);
    assert_eq!(spent("user:other/user' OR '1'='1", day).await, 0);
}

/// Entries are written once each, in their order, and the last one is known.
///
/// # Panics
/// When the sink breaks its contract.
pub async fn ledger_sink(sink: &dyn LedgerSink) {
    let entry = |seq: u64, nanos| Entry {
        seq,
        chain: [u8::try_from(seq).unwrap_or(0); 16],
        row: row(&format!("req_{seq}"), 1, nanos, Duration::ZERO),
    };
    let day = SystemTime::now() - Duration::from_secs(24 * 3_600);
    let spent = async || {
        let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3_600);
        let spent = sink.spent("global", day, Some(tomorrow)).await;
        spent.expect("the sink answers").nanos()
    };
    let last = async || sink.last().await.expect("the sink answers");
    assert_eq!(last().await, None);
    assert_eq!(spent().await, 0);
    sink.write([].into()).await.expect("nothing is no failure");

    let batch: Vec<_> = (1..=150).map(|seq| entry(seq, 1)).collect();
    sink.write(batch[..100].into())
        .await
        .expect("rows are written");
    assert_eq!(last().await, Some((100, [100; 16])));
    assert_eq!(spent().await, 100);
    // As after an error at commit: nobody knows what was written.
    sink.write(batch[..100].into())
        .await
        .expect("rows are written");
    sink.write(batch[50..].into())
        .await
        .expect("rows are written");
    assert_eq!(last().await, Some((150, [150; 16])));
    assert_eq!(spent().await, 150, "each row counts once");

    let later = Entry {
        row: ahead("req_151", 1_000),
        ..entry(151, 0)
    };
    sink.write([later].into()).await.expect("it is written");
    assert_eq!(spent().await, 150, "it is of a later window");
    let all = sink.spent("global", day, None).await;
    assert_eq!(all.expect("the sink answers").nanos(), 1_150);
}
