use std::time::SystemTime;

use sqlx::{Connection, Row, SqlitePool};

use super::{SqliteStore, failed, rows};
use crate::{
    catalog::Money,
    error::Error,
    store::{Chain, Entry, LedgerSink, StoreFuture, ledger::quarter, plain::text},
};

const LAST: &str = "SELECT seq, chain FROM llm_calls ORDER BY seq DESC LIMIT 1";

impl LedgerSink for SqliteStore {
    fn write<'a>(&'a self, entries: &'a [Entry]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            let connection = writer.as_mut().ok_or_else(closed)?;
            let written = async {
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                let last: Option<i64> = sqlx::query_scalar("SELECT MAX(seq) FROM llm_calls")
                    .fetch_one(&mut *transaction)
                    .await?;
                let last = last.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
                // After an error at commit they may be there already.
                let new = entries.partition_point(|entry| entry.seq <= last);
                rows::insert(&mut transaction, &entries[new..]).await?;
                transaction.commit().await
            };
            written
                .await
                .map_err(failed("the ledger's file cannot be written"))
        })
    }

    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>> {
        Box::pin(last(&self.pool))
    }

    fn spent<'a>(&'a self, account: &'a str, since: SystemTime) -> StoreFuture<'a, Money> {
        Box::pin(spent(&self.pool, account, since))
    }
}

/// The number of the newest row, and the chain up to it.
pub(super) async fn last(pool: &SqlitePool) -> Result<Option<(u64, Chain)>, Error> {
    let row = sqlx::query(LAST)
        .fetch_optional(pool)
        .await
        .map_err(failed("the ledger cannot be read"))?;
    row.map(|row| {
        let seq: i64 = row.try_get(0)?;
        let chain: &[u8] = row.try_get(1)?;
        let chain = Chain::try_from(chain).map_err(|e| sqlx::Error::Decode(e.into()))?;
        Ok((u64::try_from(seq).unwrap_or(0), chain))
    })
    .transpose()
    .map_err(failed("the ledger's last row cannot be read"))
}

/// The sum of what `account` paid for attempts that began at `since` or later.
pub(super) async fn spent(
    pool: &SqlitePool,
    account: &str,
    since: SystemTime,
) -> Result<Money, Error> {
    let nanos: i64 = sqlx::query_scalar(
        "SELECT COALESCE(SUM(cost_nanos), 0) FROM spending WHERE account = ? AND quarter >= ?",
    )
    .bind(&*text(account))
    .bind(quarter(since))
    .fetch_one(pool)
    .await
    .map_err(failed("the ledger cannot be read"))?;
    Ok(Money::from_nanos(nanos))
}

fn closed() -> Error {
    Error::internal("the database is closed")
}
