//! What stands between a call and its provider because of money: a hold on three accounts, and the attempt written down in the
//! journal, while rows are written and synced beside it. Percentiles, because it is the slow ones that are felt.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rungs::{
    catalog::Money,
    store::{
        Chain, Durability, Entry, Ledger, LedgerSink, Reservation, StoreFuture, journal::Journal,
        memory::MemoryBudgets,
    },
    testing::ledger_contract::row,
};

const ATTEMPTS: usize = 100_000;

/// Admission may take this long, 99 times of 100.
const TARGET: Duration = Duration::from_micros(50);

/// Takes everything: what is shipped is measured elsewhere.
struct Nowhere;

impl LedgerSink for Nowhere {
    fn write(&self, _: Arc<[Entry]>) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>> {
        Box::pin(async { Ok(None) })
    }

    fn spent<'a>(&'a self, _: &'a str, _: SystemTime) -> StoreFuture<'a, Money> {
        Box::pin(async { Ok(Money::ZERO) })
    }
}

#[tokio::main]
async fn main() {
    let folder = std::env::temp_dir().join(format!("rungs-admission-{}", std::process::id()));
    let journal = Journal::open(&folder, Arc::new(Nowhere), &[7; 32]).await;
    let journal = journal.expect("the journal opens");
    let book = Arc::new(MemoryBudgets::new());
    let accounts: Arc<[Arc<str>]> = ["global", "key:k_1", "project:p"]
        .map(Arc::from)
        .into_iter()
        .collect();
    for account in accounts.iter() {
        book.set(
            account.clone(),
            vec!["1000000/day".parse().expect("a budget")],
        );
    }
    let row = row(
        "req_01a20ed615aa7db3aa7faf1533e9f8c1",
        1,
        2_500_000,
        Duration::ZERO,
    );
    let spent = Money::from_nanos(3);
    let mut took = Vec::with_capacity(ATTEMPTS);
    for attempt in 0..ATTEMPTS {
        let began = Instant::now();
        let held = Reservation::hold(book.clone(), accounts.clone(), row.cost);
        let intent = journal.begin(&row).expect("it can be written down");
        took.push(began.elapsed());
        held.expect("there is money").settle(spent);
        journal.end(intent, row.clone());
        if attempt % 64 == 0
            && let Some(safe) = journal.survives(Durability::PowerLoss)
        {
            safe.await.expect("the disk works");
        }
    }
    journal.close().await;
    let _ = std::fs::remove_dir_all(&folder);
    took.sort_unstable();
    let at = |percent: f64| took[(took.len() as f64 * percent / 100.0) as usize];
    println!(
        "admission: p50 {:?}, p99 {:?}, p99.9 {:?} (target p99 {TARGET:?})",
        at(50.0),
        at(99.0),
        at(99.9),
    );
}
