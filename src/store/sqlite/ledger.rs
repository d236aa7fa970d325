use std::time::SystemTime;

use super::{SqliteStore, failed, rows::millis};
use crate::{
    catalog::Money,
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
        Box::pin(async move {
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
            };
            let nanos: i64 = query
                .fetch_one(&self.pool)
                .await
                .map_err(failed("the ledger cannot be read"))?;
            Ok(Money::from_nanos(nanos))
        })
    }
}
