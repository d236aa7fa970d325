//! PostgreSQL: every test has a server of its own.

mod budgets;
mod ledger;
mod outages;
mod schema;
mod wire;

use rungs::{
    store::{Entry, LedgerRow, postgres::PostgresStore},
    testing::servers::{Fsync, PostgresServer},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// A server with one database.
pub(super) struct Database {
    pub(super) server: PostgresServer,
    pub(super) url: String,
}

impl Database {
    pub(super) fn new() -> Self {
        Self::with(Fsync::Off, &[])
    }

    pub(super) fn with(fsync: Fsync, settings: &[&str]) -> Self {
        let server = PostgresServer::with(fsync, settings).expect("PostgreSQL starts");
        let url = server.database().expect("a database");
        Self { server, url }
    }

    pub(super) fn store(&self) -> PostgresStore {
        PostgresStore::new(&self.url, 4).expect("a URL")
    }

    /// Another program's connection.
    pub(super) async fn raw(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("it answers")
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        let mut raw = self.raw().await;
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut raw).await;
        row.expect("a row").get(0)
    }

    pub(super) async fn run(&self, sql: &str) {
        let mut raw = self.raw().await;
        let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut raw).await;
        done.expect("it is done");
    }
}

/// Rows as a journal ships them, from the number `first` on.
pub(super) fn entries(first: u64, rows: impl IntoIterator<Item = LedgerRow>) -> Vec<Entry> {
    let entry = |(seq, row)| Entry {
        seq,
        chain: [7; 16],
        row,
    };
    (first..).zip(rows).map(entry).collect()
}

/// Waits for what a task does.
pub(super) async fn until(done: impl AsyncFn() -> bool) {
    let start = std::time::Instant::now();
    while !done().await {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(5),
            "waited in vain"
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
