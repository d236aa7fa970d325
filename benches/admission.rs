//! What stands between a call and its provider because of money: a hold on three accounts, and the attempt written down in the
//! journal, while rows are written and synced beside it. Once in one process, and once on leases from a PostgreSQL. Percentiles,
//! because it is the slow ones that are felt.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rungs::{
    catalog::Money,
    store::{
        Budget, Budgets, Chain, Durability, Entry, Ledger, LedgerSink, Reservation, StoreFuture,
        journal::Journal,
        memory::MemoryBudgets,
        postgres::{LeaseTerms, LeasedBudgets, PostgresStore},
    },
    testing::{
        ledger_contract::row,
        servers::{Fsync, PostgresServer},
    },
};

const ATTEMPTS: usize = 100_000;

const ACCOUNTS: [&str; 3] = ["global", "key:k_1", "project:p"];

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

    fn spent<'a>(
        &'a self,
        _: &'a str,
        _: SystemTime,
        _: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        Box::pin(async { Ok(Money::ZERO) })
    }
}

#[tokio::main]
async fn main() {
    let folder = std::env::temp_dir().join(format!("rungs-admission-{}", std::process::id()));
    let book = Arc::new(MemoryBudgets::new());
    for account in ACCOUNTS {
        book.set(account, budgets());
    }
    measure("one process", &folder.join("memory"), book).await;

    let server = PostgresServer::with(Fsync::On, &[]).expect("PostgreSQL starts");
    let url = server.database().expect("a database");
    let store = PostgresStore::new(&url, 4).expect("a URL");
    store.connect().await.expect("it answers");
    let terms = LeaseTerms {
        folder: Some(folder.join("leases")),
        ..LeaseTerms::default()
    };
    let book = Arc::new(LeasedBudgets::open(&store, terms).expect("a folder"));
    for account in ACCOUNTS {
        book.set(account, budgets(), None);
    }
    measure("leases", &folder.join("leased"), book.clone()).await;
    book.close().await.expect("it closes");
    let _ = std::fs::remove_dir_all(&folder);
}

fn budgets() -> Vec<Budget> {
    vec!["1000000/day".parse().expect("a budget")]
}

async fn measure(name: &str, folder: &Path, book: Arc<dyn Budgets>) {
    let journal = Journal::open(folder, Arc::new(Nowhere), &[7; 32]).await;
    let journal = journal.expect("the journal opens");
    let accounts: Arc<[Arc<str>]> = ACCOUNTS.map(Arc::from).into_iter().collect();
    let row = row(
        "req_01a20ed615aa7db3aa7faf1533e9f8c1",
        1,
        2_500_000,
        Duration::ZERO,
    );
    let spent = Money::from_nanos(3);
    let mut took = Vec::with_capacity(ATTEMPTS);
    let mut waited = 0;
    for attempt in 0..ATTEMPTS {
        let began = Instant::now();
        let held = match Reservation::hold(book.clone(), accounts.clone(), row.cost) {
            Ok(held) => held,
            // A lease without room: for the database, as few calls do.
            Err(_) => {
                waited += 1;
                let waits = Reservation::wait(book.clone(), accounts.clone(), row.cost);
                waits.await.expect("it is asked").expect("there is money")
            }
        };
        let intent = journal.begin(&row).expect("it can be written down");
        took.push(began.elapsed());
        held.settle(spent);
        journal.end(intent, row.clone());
        if attempt % 64 == 0
            && let Some(safe) = journal.survives(Durability::PowerLoss)
        {
            safe.await.expect("the disk works");
        }
    }
    journal.close().await;
    took.sort_unstable();
    let at = |percent: f64| took[(took.len() as f64 * percent / 100.0) as usize];
    println!(
        "admission, {name}: p50 {:?}, p99 {:?}, p99.9 {:?} (target p99 {TARGET:?}), {waited} of {ATTEMPTS} waited",
        at(50.0),
        at(99.0),
        at(99.9),
    );
}
