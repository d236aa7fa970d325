use std::time::SystemTime;

use sqlx::SqlitePool;

use super::{failed, options, pool};
use crate::{
    error::Error,
    store::{Entry, plain::millis, sql::entries},
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
        rows.iter().map(entries::read).collect()
    }
}
