//! How fast a database takes the rows of a gateway that had to do without it: rows per second, with every commit synced.

use std::time::{Duration, Instant};

use rungs::{
    store::{Entry, LedgerSink, postgres::PostgresStore, sqlite::SqliteStore},
    testing::{
        ledger_contract::row,
        servers::{Fsync, PostgresServer},
    },
};

const ROWS: u32 = 100_000;

/// As many as a journal ships at once.
const BATCH: usize = 1_000;

/// PostgreSQL takes at least so many a second.
const TARGET: u32 = 10_000;

#[tokio::main]
async fn main() {
    let entries: Vec<Entry> = (0..ROWS)
        .map(|n| Entry {
            seq: u64::from(n) + 1,
            chain: [7; 16],
            row: row(
                &format!("req_{:032x}", u128::from(n) * 7919),
                1,
                2_500_000,
                Duration::from_secs(60),
            ),
        })
        .collect();

    let folder = std::env::temp_dir().join(format!("rungs-catch-up-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = format!("sqlite:{}", folder.join("rungs.db").display());
    let sqlite = SqliteStore::open(&file).await.expect("it opens");
    let rate = catch_up(&sqlite, &entries).await;
    println!("catch-up: SQLite {rate:.0} rows/s");
    sqlite.close().await.expect("it closes");
    let _ = std::fs::remove_dir_all(&folder);

    let server = PostgresServer::with(Fsync::On, &[]).expect("PostgreSQL starts");
    let url = server.database().expect("a database");
    let store = PostgresStore::new(&url, 4).expect("a URL");
    store.connect().await.expect("it answers");
    let rate = catch_up(&store.ledger("bench"), &entries).await;
    println!("catch-up: PostgreSQL {rate:.0} rows/s (target {TARGET})");
}

async fn catch_up(sink: &dyn LedgerSink, entries: &[Entry]) -> f64 {
    let begun = Instant::now();
    for batch in entries.chunks(BATCH) {
        sink.write(batch.into()).await.expect("it is written");
    }
    f64::from(ROWS) / begun.elapsed().as_secs_f64()
}
