use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{Connection, Row, SqlitePool, sqlite::SqliteRow};

use super::{failed, migrated, options, pool, rows::millis};
use crate::{
    catalog::Tier,
    error::Error,
    store::{Budget, KeyRecord, KeyStore, StoreFuture, lock},
};

/// The keys of a database, for a program beside the gateway that owns it.
///
/// Writes wait for the owner's, a few milliseconds; the owner sees what changed the next time it looks a key up.
#[derive(Debug, Clone)]
pub struct SqliteKeys {
    pool: SqlitePool,
}

impl SqliteKeys {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Opens the keys of the database at a URL like `sqlite:rungs.db`, whether or not a gateway runs on it. Makes the database, or
    /// brings its schema up to date, if no gateway does.
    ///
    /// # Errors
    /// As [`SqliteStore::open`](super::SqliteStore::open), except that the database may belong to another process.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let options = options(url)?;
        // Whoever owns the database has brought its schema up to date.
        if let Some(_lock) = lock::take(options.get_filename())? {
            let _ = migrated(&options).await?.close().await;
        }
        Ok(Self::new(pool(options)))
    }
}

impl KeyStore for SqliteKeys {
    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<KeyRecord>> {
        Box::pin(async move {
            sqlx::query("SELECT * FROM api_keys WHERE id = ?")
                .bind(id)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("the keys cannot be read"))?
                .map(|row| read(&row))
                .transpose()
        })
    }

    fn insert<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let models = serde_json::to_string(&key.models)
                .map_err(|e| Error::internal("the models of a key are no JSON").with_source(e))?;
            sqlx::query(
                "INSERT INTO api_keys \
                 (id, name, hash, tenant, models, max_tier, budget, rpm, tpm, created_ms, revoked_ms) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&key.id)
            .bind(&key.name)
            .bind(&key.hash[..])
            .bind(&key.tenant)
            .bind(models)
            .bind(key.max_tier.map(Tier::level))
            .bind(key.budget.map(|budget| budget.to_string()))
            .bind(key.rpm.map(clamp))
            .bind(key.tpm.map(clamp))
            .bind(millis(key.created))
            .bind(key.revoked.map(millis))
            .execute(&self.pool)
            .await
            .map_err(|e| match e.as_database_error() {
                Some(cause) if cause.is_unique_violation() => Error::invalid(format!(
                    "a key with the id `{}` exists already",
                    key.id
                )),
                _ => failed("the key cannot be written")(e),
            })?;
            Ok(())
        })
    }

    fn revoke<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let done = sqlx::query(
                "UPDATE api_keys SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL",
            )
            .bind(millis(SystemTime::now()))
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(failed("the key cannot be revoked"))?;
            Ok(done.rows_affected() > 0)
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<KeyRecord>> {
        Box::pin(async move {
            sqlx::query("SELECT * FROM api_keys ORDER BY created_ms, id")
                .fetch_all(&self.pool)
                .await
                .map_err(failed("the keys cannot be read"))?
                .iter()
                .map(read)
                .collect()
        })
    }
}

fn read(row: &SqliteRow) -> Result<KeyRecord, Error> {
    let unreadable = || Error::internal("a stored key cannot be read");
    let record = || -> Result<KeyRecord, sqlx::Error> {
        let decode = |e: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(e);
        let hash: &[u8] = row.try_get("hash")?;
        let models: &str = row.try_get("models")?;
        let budget: Option<&str> = row.try_get("budget")?;
        Ok(KeyRecord {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            hash: hash.try_into().map_err(|e| decode(Box::new(e)))?,
            tenant: row.try_get("tenant")?,
            models: serde_json::from_str(models).map_err(|e| decode(Box::new(e)))?,
            max_tier: row.try_get::<Option<u8>, _>("max_tier")?.map(Tier::new),
            budget: budget
                .map(str::parse::<Budget>)
                .transpose()
                .map_err(|e| decode(Box::new(e)))?,
            rpm: limit(row, "rpm")?,
            tpm: limit(row, "tpm")?,
            created: time(row.try_get("created_ms")?),
            revoked: row.try_get::<Option<i64>, _>("revoked_ms")?.map(time),
        })
    };
    record().map_err(|e| unreadable().with_source(e))
}

fn limit(row: &SqliteRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    let limit: Option<i64> = row.try_get(column)?;
    Ok(limit.map(|limit| u64::try_from(limit).unwrap_or(0)))
}

fn clamp(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
