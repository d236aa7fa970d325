use std::{fmt, sync::Arc, time::SystemTime};

use sqlx::{
    Postgres, Row,
    postgres::{PgArguments, PgRow},
};

use super::{
    failed, ledger,
    pool::{Pool, answered},
    rows::{millis, time},
};
use crate::{
    catalog::{Money, Tier},
    error::Error,
    store::{
        KeyRecord, KeyStore, Secret, StoreFuture,
        columns::{clamp, hash_of, json, name, named, parsed},
    },
};

/// The keys of a database.
#[derive(Clone)]
pub struct PostgresKeys {
    pool: Arc<Pool>,
}

impl PostgresKeys {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    /// What the ledger beside the keys says that an account has paid.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the database does not answer.
    pub async fn spent(&self, account: &str, since: SystemTime) -> Result<Money, Error> {
        answered(ledger::spent(&self.pool, account, since)).await
    }
}

impl KeyStore for PostgresKeys {
    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<KeyRecord>> {
        Box::pin(answered(async move {
            // No text holds this character here, so no key is named so.
            if id.contains('\0') {
                return Ok(None);
            }
            sqlx::query("SELECT * FROM api_keys WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut *self.pool.get().await?)
                .await
                .map_err(failed("the keys cannot be read"))?
                .map(|row| read(&row))
                .transpose()
        }))
    }

    fn insert<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, ()> {
        Box::pin(answered(async move {
            let insert = sqlx::query(
                "INSERT INTO api_keys \
                 (name, hash, previous_hash, previous_until_ms, project, models, max_tier, routes, budgets, warn_at, \
                  on_exhaust, on_store_down, rpm, tpm, expires_ms, id, version, role, tenant, parent, created_ms, revoked_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
            );
            bind(insert, key)?
                .bind(name(&key.role)?)
                .bind(&key.tenant)
                .bind(&key.parent)
                .bind(millis(key.created))
                .bind(key.revoked.map(millis))
                .execute(&mut *self.pool.get().await?)
                .await
                .map_err(|e| match e.as_database_error() {
                    Some(cause) if cause.is_unique_violation() => {
                        Error::invalid(format!("a key with the id `{}` exists already", key.id))
                    }
                    _ => failed("the key cannot be written")(e),
                })?;
            Ok(())
        }))
    }

    fn update<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, bool> {
        Box::pin(answered(async move {
            let update = sqlx::query(
                "UPDATE api_keys SET \
                 name = $1, hash = $2, previous_hash = $3, previous_until_ms = $4, project = $5, models = $6, max_tier = $7, \
                 routes = $8, budgets = $9, warn_at = $10, on_exhaust = $11, on_store_down = $12, rpm = $13, tpm = $14, expires_ms = $15, \
                 version = version + 1 \
                 WHERE id = $16 AND version = $17 AND revoked_ms IS NULL",
            );
            let done = bind(update, key)?
                .execute(&mut *self.pool.get().await?)
                .await
                .map_err(failed("the key cannot be written"))?;
            Ok(done.rows_affected() > 0)
        }))
    }

    fn revoke<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(answered(async move {
            let done = sqlx::query(
                "WITH RECURSIVE family(id) AS ( \
                   SELECT id FROM api_keys WHERE id = $1 AND revoked_ms IS NULL \
                   UNION SELECT api_keys.id FROM api_keys JOIN family ON api_keys.parent = family.id) \
                 UPDATE api_keys SET revoked_ms = $2 WHERE revoked_ms IS NULL AND id IN (SELECT id FROM family)",
            )
            .bind(id)
            .bind(millis(SystemTime::now()))
            .execute(&mut *self.pool.get().await?)
            .await
            .map_err(failed("the key cannot be revoked"))?;
            Ok(done.rows_affected() > 0)
        }))
    }

    fn list(&self) -> StoreFuture<'_, Vec<KeyRecord>> {
        Box::pin(answered(async move {
            sqlx::query("SELECT * FROM api_keys ORDER BY created_ms, id")
                .fetch_all(&mut *self.pool.get().await?)
                .await
                .map_err(failed("the keys cannot be read"))?
                .iter()
                .map(read)
                .collect()
        }))
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

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
        .bind(key.max_tier.map(|tier| i16::from(tier.level())))
        .bind(json(&key.routes)?)
        .bind(json(&key.budgets)?)
        .bind(key.warn_at.map(i16::from))
        .bind(name(&key.on_exhaust)?)
        .bind(name(&key.on_store_down)?)
        .bind(key.rpm.map(clamp))
        .bind(key.tpm.map(clamp))
        .bind(key.expires.map(millis))
        .bind(&key.id)
        .bind(clamp(key.version)))
}

fn read(row: &PgRow) -> Result<KeyRecord, Error> {
    let record = || -> Result<KeyRecord, sqlx::Error> {
        let previous: Option<&[u8]> = row.try_get("previous_hash")?;
        let previous = match previous.zip(moment(row, "previous_until_ms")?) {
            Some((hash, until)) => Some(Secret {
                hash: hash_of(hash)?,
                until,
            }),
            None => None,
        };
        Ok(KeyRecord {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            role: named(row.try_get("role")?)?,
            hash: hash_of(row.try_get("hash")?)?,
            previous,
            tenant: row.try_get("tenant")?,
            parent: row.try_get("parent")?,
            project: row.try_get("project")?,
            models: parsed(row.try_get("models")?)?,
            max_tier: small(row, "max_tier")?.map(Tier::new),
            routes: parsed(row.try_get("routes")?)?,
            budgets: parsed(row.try_get("budgets")?)?,
            warn_at: small(row, "warn_at")?,
            on_exhaust: named(row.try_get("on_exhaust")?)?,
            on_store_down: named(row.try_get("on_store_down")?)?,
            rpm: limit(row, "rpm")?,
            tpm: limit(row, "tpm")?,
            created: time(row.try_get("created_ms")?),
            expires: moment(row, "expires_ms")?,
            revoked: moment(row, "revoked_ms")?,
            version: limit(row, "version")?.unwrap_or(0),
        })
    };
    record().map_err(|e| Error::internal("a stored key cannot be read").with_source(e))
}

fn limit(row: &PgRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    let limit: Option<i64> = row.try_get(column)?;
    Ok(limit.map(|limit| u64::try_from(limit).unwrap_or(0)))
}

fn moment(row: &PgRow, column: &str) -> Result<Option<SystemTime>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(time))
}

fn small(row: &PgRow, column: &str) -> Result<Option<u8>, sqlx::Error> {
    let number: Option<i16> = row.try_get(column)?;
    Ok(number.map(|number| u8::try_from(number).unwrap_or(0)))
}

impl fmt::Debug for PostgresKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresKeys").finish_non_exhaustive()
    }
}
