use std::{fmt, sync::Arc, time::SystemTime};

use sqlx::{Postgres, postgres::PgArguments};

use super::{
    failed,
    pool::{Pool, answered},
    standing,
};
use crate::{
    catalog::Money,
    error::Error,
    store::{
        AccountBalance, Balance, Budget, KeyRecord, KeyStore, StoreFuture,
        plain::millis,
        sql::{
            columns::{clamp, json, name},
            keys::read,
        },
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

    /// How the budgets beside the keys stand, each with its account, in their order. What processes have out in leases is reserved:
    /// held by calls, spent and not in the ledger yet, or idle for a few seconds more.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the database does not answer.
    pub async fn stand(
        &self,
        budgets: Vec<(Arc<str>, Budget)>,
    ) -> Result<Vec<AccountBalance>, Error> {
        let windows = budgets
            .iter()
            .map(|(account, budget)| (account, &budget.window));
        let stands = answered(async {
            let mut connection = self.pool.get().await?;
            standing::read(&mut connection, windows, SystemTime::now())
                .await
                .map_err(failed("the budgets cannot be read"))
        });
        let stands = stands.await?;
        let all = budgets.into_iter().zip(stands);
        let all = all.map(|((account, budget), (posted, granted))| AccountBalance {
            account,
            balance: Balance {
                budget,
                posted: Money::from_nanos(posted),
                reserved: Money::from_nanos(granted),
            },
            is_stale: false,
        });
        Ok(all.collect())
    }
}

/// What [`read`] reads.
macro_rules! columns {
    () => {
        "id, version, name, role, hash, previous_hash, previous_until_ms, tenant, parent, project, models, max_tier, routes, \
         budgets, warn_at, on_exhaust, on_store_down, rpm, tpm, created_ms, expires_ms, revoked_ms"
    };
}

impl KeyStore for PostgresKeys {
    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<KeyRecord>> {
        Box::pin(answered(async move {
            // No text holds this character here, so no key is named so.
            if id.contains('\0') {
                return Ok(None);
            }
            sqlx::query(concat!(
                "SELECT ",
                columns!(),
                " FROM api_keys WHERE id = $1"
            ))
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
            let all = concat!(
                "SELECT ",
                columns!(),
                " FROM api_keys ORDER BY created_ms, id"
            );
            sqlx::query(all)
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

impl fmt::Debug for PostgresKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresKeys").finish_non_exhaustive()
    }
}
