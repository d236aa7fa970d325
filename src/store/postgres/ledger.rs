use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use sqlx::Connection as _;

use super::{
    failed,
    pool::{Pool, answered},
    posting,
    rows::{self, millis},
};
use crate::{
    catalog::Money,
    error::Error,
    store::{LedgerRow, LedgerSink, Spent, StoreFuture},
};

/// The most rows of one transaction.
const BATCH: usize = 1_000;

const DAY_MS: i64 = 86_400_000;

/// The ledger of a database. What rows cost is moved from the leases that held it to the budgets that it belongs to, in the
/// transaction that inserts them and for those rows alone that were new.
#[derive(Clone)]
pub struct PostgresLedger {
    pool: Arc<Pool>,
    holder: Option<Arc<str>>,
    /// The days whose month has its table, as far as this process knows.
    made: Arc<Mutex<HashSet<i64>>>,
}

impl PostgresLedger {
    pub(super) fn new(pool: Arc<Pool>, holder: Option<Arc<str>>) -> Self {
        Self {
            pool,
            holder,
            made: Arc::default(),
        }
    }

    /// Forgets the rows of whole months that ended at `before` or earlier: a table each, in milliseconds. Returns how many months.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prune(&self, before: SystemTime) -> Result<u32, Error> {
        answered(async {
            let months: i32 = sqlx::query_scalar("SELECT llm_calls_prune($1)")
                .bind(millis(before))
                .fetch_one(&mut *self.pool.get().await?)
                .await
                .map_err(failed("the ledger cannot be pruned"))?;
            self.made().clear();
            Ok(u32::try_from(months).unwrap_or(0))
        })
        .await
    }

    async fn write_batch(&self, rows: &[LedgerRow]) -> Result<(), Error> {
        let failed = failed("the ledger cannot be written");
        let mut connection = self.pool.get().await?;
        let days: HashSet<i64> = rows.iter().map(day).collect();
        if !days.is_subset(&self.made()) {
            rows::make_months(&mut connection, rows)
                .await
                .map_err(&failed)?;
            self.made().extend(days);
        }
        let mut transaction = connection.begin().await.map_err(&failed)?;
        posting::no_births(&mut transaction)
            .await
            .map_err(&failed)?;
        let new = rows::insert(&mut transaction, rows)
            .await
            .map_err(&failed)?;
        posting::post(&mut transaction, self.holder.as_deref(), &new)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)
    }

    fn made(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which days make a month is the database's to know.
fn day(row: &LedgerRow) -> i64 {
    millis(row.started) / DAY_MS
}

impl LedgerSink for PostgresLedger {
    fn write<'a>(&'a self, rows: &'a [LedgerRow]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            for batch in rows.chunks(BATCH) {
                let written = answered(self.write_batch(batch)).await;
                if written.is_err() {
                    // A month may have been dropped by another process.
                    self.made().clear();
                }
                written?;
            }
            Ok(())
        })
    }

    fn spent<'a>(&'a self, whose: Spent<'a>, since: SystemTime) -> StoreFuture<'a, Money> {
        Box::pin(answered(async move {
            let since = millis(since);
            let query = match whose {
                Spent::All => sqlx::query_scalar(
                    "SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM llm_calls WHERE started_ms >= $1",
                )
                .bind(since),
                Spent::Key(key) => sqlx::query_scalar(
                    "SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM llm_calls WHERE started_ms >= $1 AND key_id = $2",
                )
                .bind(since)
                .bind(key),
                Spent::Tenant(tenant) => sqlx::query_scalar(
                    "SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM llm_calls WHERE started_ms >= $1 AND tenant = $2",
                )
                .bind(since)
                .bind(tenant),
            };
            let nanos: i64 = query
                .fetch_one(&mut *self.pool.get().await?)
                .await
                .map_err(failed("the ledger cannot be read"))?;
            Ok(Money::from_nanos(nanos))
        }))
    }
}

impl fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLedger")
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}
