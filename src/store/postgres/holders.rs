use std::time::Duration;

use sqlx::Row;

use super::{PostgresStore, epochs, failed, pool::answered};
use crate::{catalog::Money, error::Error};

/// A process that holds leases, or did, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name: [`LeasedBudgets::holder`](super::LeasedBudgets::holder).
    pub name: String,
    /// How long ago it was heard of, by the database's clock; `None` once it has ended in order.
    pub silent: Option<Duration>,
    /// What is out in its leases, all budgets together: held by calls, spent and not in the ledger yet, or idle.
    pub out: Money,
}

impl PostgresStore {
    /// All holders of leases, the most silent first.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the database does not answer.
    pub async fn holders(&self) -> Result<Vec<Holder>, Error> {
        answered(async {
            let failed = failed("the leases cannot be read");
            let rows = sqlx::query(
                "SELECT holder, seen_ms, (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT - seen_ms AS silent_ms, \
                 (SELECT COALESCE(sum(granted_nanos - spent_nanos), 0)::BIGINT FROM leases WHERE leases.holder = holders.holder) \
                 AS out FROM holders ORDER BY seen_ms, holder",
            )
            .fetch_all(&mut *self.pool.get().await?)
            .await
            .map_err(&failed)?;
            let holder = |row: &sqlx::postgres::PgRow| -> Result<Holder, sqlx::Error> {
                let (seen, silent): (i64, i64) = (row.try_get("seen_ms")?, row.try_get("silent_ms")?);
                let silent = Duration::from_millis(u64::try_from(silent).unwrap_or(0));
                Ok(Holder {
                    name: row.try_get("holder")?,
                    silent: (seen > 0).then_some(silent),
                    out: Money::from_nanos(row.try_get("out")?),
                })
            };
            rows.iter().map(holder).collect::<Result<_, _>>().map_err(&failed)
        })
        .await
    }

    /// Closes the leases of a holder that is gone for good, its folder with it; all that was out counts as spent. Returns how much
    /// that was, or `None` if the holder may be alive: its leases are good still by the database's clock, and `sure` does not say
    /// otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the database does not answer. Leases are closed in parts: the message
    /// says how much counts as spent already. Said again, it closes the rest.
    pub async fn close_dead(&self, holder: &str, sure: bool) -> Result<Option<Money>, Error> {
        let failed = failed("the leases cannot be closed");
        let epoch = answered(async {
            let mut connection = self.pool.get().await?;
            let deposed = epochs::depose(&mut connection, holder, sure).await;
            deposed.map_err(&failed)
        });
        let Some(epoch) = epoch.await? else {
            return Ok(None);
        };
        let mut lost = Money::ZERO;
        loop {
            // Each part has its time: all of them together may take long.
            let part = answered(async {
                let mut connection = self.pool.get().await?;
                let part = epochs::write_off(&mut connection, holder, epoch).await;
                part.map_err(&failed)
            });
            match part.await {
                Ok(Some(part)) => lost += Money::from_nanos(part),
                Ok(None) => return Ok(Some(lost)),
                Err(error) if lost.is_zero() => return Err(error),
                Err(error) => {
                    let why = error.message();
                    let message = format!(
                        "{why}: ${lost} or more count as spent already; say it again for the rest"
                    );
                    return Err(Error::new(error.kind(), message).with_source(error));
                }
            }
        }
    }
}
