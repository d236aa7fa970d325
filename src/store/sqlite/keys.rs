use std::time::SystemTime;

use sqlx::{Sqlite, SqlitePool, sqlite::SqliteArguments};

use super::{failed, ledger, opening, options, pool};
use crate::{
    catalog::{Money, Tier},
    error::Error,
    store::{
        KeyRecord, KeyStore, StoreFuture,
        plain::millis,
        sql::{
            columns::{clamp, json, name},
            keys::read,
        },
    },
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
        opening::update(&options).await?;
        Ok(Self::new(pool(options)))
    }

    /// What the ledger beside the keys says that an account has paid for attempts that began at `since` or later, and before `until`, as of what
    /// its owner has written so far.
    ///
    /// # Errors
    /// If the database cannot be read; see the [module](super).
    pub async fn spent(
        &self,
        account: &str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> Result<Money, Error> {
        ledger::spent(&self.pool, account, since, until).await
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
            let insert = sqlx::query(
                "INSERT INTO api_keys \
                 (name, hash, previous_hash, previous_until_ms, project, models, max_tier, routes, budgets, warn_at, \
                  on_exhaust, on_store_down, rpm, tpm, expires_ms, id, version, role, tenant, parent, created_ms, revoked_ms) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            );
            bind(insert, key)?
                .bind(name(&key.role)?)
                .bind(&key.tenant)
                .bind(&key.parent)
                .bind(millis(key.created))
                .bind(key.revoked.map(millis))
                .execute(&self.pool)
                .await
                .map_err(|e| match e.as_database_error() {
                    Some(cause) if cause.is_unique_violation() => {
                        Error::invalid(format!("a key with the id `{}` exists already", key.id))
                    }
                    _ => failed("the key cannot be written")(e),
                })?;
            Ok(())
        })
    }

    fn update<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let update = sqlx::query(
                "UPDATE api_keys SET \
                 name = ?, hash = ?, previous_hash = ?, previous_until_ms = ?, project = ?, models = ?, max_tier = ?, \
                 routes = ?, budgets = ?, warn_at = ?, on_exhaust = ?, on_store_down = ?, rpm = ?, tpm = ?, expires_ms = ?, \
                 version = version + 1 \
                 WHERE id = ? AND version = ? AND revoked_ms IS NULL",
            );
            let done = bind(update, key)?
                .execute(&self.pool)
                .await
                .map_err(failed("the key cannot be written"))?;
            Ok(done.rows_affected() > 0)
        })
    }

    fn revoke<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let done = sqlx::query(
                "WITH RECURSIVE family(id) AS ( \
                   SELECT id FROM api_keys WHERE id = ? AND revoked_ms IS NULL \
                   UNION SELECT api_keys.id FROM api_keys JOIN family ON api_keys.parent = family.id) \
                 UPDATE api_keys SET revoked_ms = ? WHERE revoked_ms IS NULL AND id IN (SELECT id FROM family)",
            )
            .bind(id)
            .bind(millis(SystemTime::now()))
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

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Binds what may change, then the id and the version.
fn bind<'q>(query: Query<'q>, key: &'q KeyRecord) -> Result<Query<'q>, Error> {
    let previous = key.previous.as_ref();
    Ok(query
        .bind(&key.name)
        .bind(&key.hash[..])
        .bind(previous.map(|secret| &secret.hash[..]))
        .bind(previous.map(|secret| millis(secret.until)))
        .bind(&key.project)
        .bind(json(&key.models)?)
        .bind(key.max_tier.map(Tier::level))
        .bind(json(&key.routes)?)
        .bind(json(&key.budgets)?)
        .bind(key.warn_at)
        .bind(name(&key.on_exhaust)?)
        .bind(name(&key.on_store_down)?)
        .bind(key.rpm.map(clamp))
        .bind(key.tpm.map(clamp))
        .bind(key.expires.map(millis))
        .bind(&key.id)
        .bind(clamp(key.version)))
}
