use std::time::SystemTime;

use sqlx::SqlitePool;

use super::{SqliteStore, failed, rows::millis};
use crate::{
    catalog::Money,
    error::Error,
    store::{Ledger, LedgerRow, Spent, StoreFuture},
};

impl Ledger for SqliteStore {
    fn record(&self, row: LedgerRow) {
        self.writer.record(row);
    }

    fn has_room(&self) -> bool {
        self.writer.has_room()
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.writer.flush())
    }

    fn spent<'a>(&'a self, whose: Spent<'a>, since: SystemTime) -> StoreFuture<'a, Money> {
        Box::pin(spent(&self.pool, whose, since))
    }
}

/// The sum of the costs of attempts that began at `since` or later.
pub(super) async fn spent(
    pool: &SqlitePool,
    whose: Spent<'_>,
    since: SystemTime,
) -> Result<Money, Error> {
    let since = millis(since);
    let query = match whose {
        Spent::All => sqlx::query_scalar(
            "SELECT COALESCE(SUM(cost_nanos), 0) FROM llm_calls WHERE started_ms >= ?",
        )
        .bind(since),
        Spent::Key(key) => sqlx::query_scalar(
            "SELECT COALESCE(SUM(cost_nanos), 0) FROM llm_calls WHERE started_ms >= ? AND key_id = ?",
        )
        .bind(since)
        .bind(key),
        Spent::Tenant(tenant) => sqlx::query_scalar(
            "SELECT COALESCE(SUM(cost_nanos), 0) FROM llm_calls WHERE started_ms >= ? AND tenant = ?",
        )
        .bind(since)
        .bind(tenant),
        Spent::Account(account) => sqlx::query_scalar(
            "SELECT COALESCE(SUM(cost_nanos), 0) FROM llm_calls WHERE started_ms >= ? \
             AND EXISTS (SELECT 1 FROM json_each(accounts) WHERE value = ?)",
        )
        .bind(since)
        .bind(account),
    };
    let nanos: i64 = query
        .fetch_one(pool)
        .await
        .map_err(failed("the ledger cannot be read"))?;
    Ok(Money::from_nanos(nanos))
}
