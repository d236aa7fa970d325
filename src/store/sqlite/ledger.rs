use std::{sync::Arc, time::SystemTime};

use sqlx::{Row, SqlitePool};

use super::{SqliteStore, failed, rows, writer::blocking};
use crate::{
    catalog::Money,
    error::Error,
    store::{
        Chain, Entry, LedgerSink, StoreFuture, ledger::quarters, plain::text,
        sql::columns::unsigned,
    },
};

const LAST: &str = "SELECT seq, chain FROM llm_calls ORDER BY seq DESC LIMIT 1";

impl LedgerSink for SqliteStore {
    fn write(&self, entries: Arc<[Entry]>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut writer = Arc::clone(&self.writer).lock_owned().await;
            blocking(move || {
                let writer = writer.as_mut().ok_or_else(closed)?;
                rows::append(&mut writer.connection, &entries)
                    .map_err(failed("the ledger's file cannot be written"))
            })
            .await
        })
    }

    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>> {
        Box::pin(last(&self.pool))
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        Box::pin(spent(&self.pool, account, since, until))
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
        Ok::<_, sqlx::Error>((unsigned(seq), chain))
    })
    .transpose()
    .map_err(failed("the ledger's last row cannot be read"))
}

/// The sum of what `account` paid for attempts that began at `since` or later, and before `until`.
pub(super) async fn spent(
    pool: &SqlitePool,
    account: &str,
    since: SystemTime,
    until: Option<SystemTime>,
) -> Result<Money, Error> {
    let quarters = quarters(since, until);
    let nanos: i64 = sqlx::query_scalar(
        "SELECT COALESCE(SUM(cost_nanos), 0) FROM spending WHERE account = ? AND quarter >= ? AND quarter < ?",
    )
    .bind(&*text(account))
    .bind(quarters.start)
    .bind(quarters.end)
    .fetch_one(pool)
    .await
    .map_err(failed("the ledger cannot be read"))?;
    Ok(Money::from_nanos(nanos))
}

fn closed() -> Error {
    Error::internal("the database is closed")
}
