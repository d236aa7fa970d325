use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::{failed, options, pool, rows::millis};
use crate::{
    catalog::{DeploymentId, Money, Tier},
    error::Error,
    model::{CostSource, Operation, Usage},
    store::{Chain, Entry, LedgerRow, RowStatus},
};

/// The ledger of a database, to be read by a program beside the gateway that owns it.
#[derive(Debug, Clone)]
pub struct SqliteLog {
    pool: SqlitePool,
}

impl SqliteLog {
    /// Opens the ledger of the database at a URL like `sqlite:rungs.db`, whether or not a gateway runs on it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a URL that names no file.
    pub fn open(url: &str) -> Result<Self, Error> {
        let options = options(url)?.create_if_missing(false);
        Ok(Self {
            pool: pool(options),
        })
    }

    /// At most `most` rows behind number `after` whose attempts began at `since` or later, in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if the file cannot be read, or a row is none of ours; it is named.
    pub async fn read(
        &self,
        after: u64,
        since: SystemTime,
        most: u32,
    ) -> Result<Vec<Entry>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM llm_calls WHERE seq > ? AND started_ms >= ? ORDER BY seq LIMIT ?",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(millis(since))
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("the ledger cannot be read"))?;
        rows.iter().map(entry).collect()
    }
}

fn entry(row: &SqliteRow) -> Result<Entry, Error> {
    let seq: i64 = row
        .try_get("seq")
        .map_err(failed("the ledger has a row without a number"))?;
    let unreadable =
        |e: sqlx::Error| Error::internal(format!("row {seq} cannot be read")).with_source(e);
    let chain: &[u8] = row.try_get("chain").map_err(unreadable)?;
    Ok(Entry {
        seq: u64::try_from(seq).unwrap_or(0),
        // One of another length continues nothing.
        chain: Chain::try_from(chain).unwrap_or_default(),
        row: read(row).map_err(unreadable)?,
    })
}

fn read(row: &SqliteRow) -> Result<LedgerRow, sqlx::Error> {
    let named = |column: &'static str| {
        move || {
            sqlx::Error::Decode(format!("the column {column} has a name of another version").into())
        }
    };
    let accounts: &str = row.try_get("accounts")?;
    let accounts: Vec<Arc<str>> =
        serde_json::from_str(accounts).map_err(|e| sqlx::Error::Decode(e.into()))?;
    Ok(LedgerRow {
        request: text(row, "request_id")?,
        attempt: row.try_get("attempt")?,
        tenant: text(row, "tenant")?,
        accounts: accounts.into(),
        key: row.try_get("key_id")?,
        user: row.try_get("user_id")?,
        conversation: row.try_get("conversation_id")?,
        op: Operation::of_name(row.try_get("op")?).ok_or_else(named("op"))?,
        deployment: DeploymentId::from(row.try_get::<&str, _>("deployment")?),
        tier: Tier::new(row.try_get("tier")?),
        status: RowStatus::of_name(row.try_get("status")?).ok_or_else(named("status"))?,
        usage: usage(row)?,
        cost: Money::from_nanos(row.try_get("cost_nanos")?),
        source: CostSource::of_name(row.try_get("cost_source")?)
            .ok_or_else(named("cost_source"))?,
        price_version: row.try_get("price_version")?,
        clamped: row.try_get("clamped")?,
        started: UNIX_EPOCH
            + Duration::from_millis(
                u64::try_from(row.try_get::<i64, _>("started_ms")?).unwrap_or(0),
            ),
        first_frame_ms: row.try_get("first_frame_ms")?,
        total_ms: row.try_get("total_ms")?,
    })
}

fn usage(row: &SqliteRow) -> Result<Option<Usage>, sqlx::Error> {
    let Some(input) = tokens(row, "input_tokens")? else {
        return Ok(None);
    };
    let bucket = |column| Ok::<_, sqlx::Error>(tokens(row, column)?.unwrap_or(0));
    Ok(Some(Usage {
        input,
        cache_read: bucket("cache_read_tokens")?,
        cache_write_5m: bucket("cache_write_5m_tokens")?,
        cache_write_1h: bucket("cache_write_1h_tokens")?,
        output: bucket("output_tokens")?,
        reasoning: bucket("reasoning_tokens")?,
    }))
}

fn tokens(row: &SqliteRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    let tokens: Option<i64> = row.try_get(column)?;
    Ok(tokens.map(|tokens| u64::try_from(tokens).unwrap_or(0)))
}

fn text(row: &SqliteRow, column: &str) -> Result<Arc<str>, sqlx::Error> {
    row.try_get(column)
}
