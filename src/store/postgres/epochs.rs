//! The beginning and the end of holders.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection, Row};

use super::{
    leases::Holder,
    standing::{self, Ids, Locked, lease_columns},
};
use crate::store::lease::{BudgetId, Granted, Standing};

/// Begins a new epoch. Of leases of epochs before, what was not used goes back, and the rest waits for its rows; `used` says how
/// much of a lease was used, where that is known.
pub(super) async fn begin(
    connection: &mut PgConnection,
    name: &Arc<str>,
    ttl: Duration,
    used: impl Fn(i64, &BudgetId) -> Option<i64>,
) -> Result<Holder, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let epoch: i64 = sqlx::query_scalar(
        "INSERT INTO holders (holder, epoch, seen_ms, ttl_ms) \
         SELECT $1, now, now, $2 FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT AS now) AS clock \
         ON CONFLICT (holder) DO UPDATE SET epoch = GREATEST(holders.epoch + 1, excluded.epoch), \
         seen_ms = excluded.seen_ms, ttl_ms = excluded.ttl_ms RETURNING epoch",
    )
    .bind(&**name)
    .bind(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    .fetch_one(&mut *transaction)
    .await?;
    let past = |sql| sqlx::query(sql).bind(&**name).bind(epoch);
    let found = past("SELECT account, span, start_ms FROM leases WHERE holder = $1 AND epoch < $2 AND state = 'open'")
        .fetch_all(&mut *transaction)
        .await?;
    let ids: Vec<BudgetId> = found.iter().map(standing::id).collect::<Result<_, _>>()?;
    let mut budgets = standing::lock(&mut transaction, &Ids::of(&ids)).await?;
    let all = concat!(
        "SELECT ",
        lease_columns!(),
        " FROM leases WHERE holder = $1 AND epoch < $2 AND state = 'open'"
    );
    let found = past(all).fetch_all(&mut *transaction).await?;
    let mut standings = by_id(&mut budgets);
    let (mut ids, mut epochs, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for row in &found {
        let (id, epoch): (_, i64) = (standing::id(row)?, row.try_get("epoch")?);
        let Granted { size, spent, .. } = standing::granted(row)?;
        let keep = used(epoch, &id).unwrap_or(size).max(spent).min(size);
        if let Some(standing) = standings.get_mut(&id) {
            standing.give_back(size - keep);
        }
        ids.push(id);
        epochs.push(epoch);
        kept.push(keep);
    }
    let ids = Ids::of(&ids);
    sqlx::query(
        "UPDATE leases SET granted_nanos = n.kept, state = 'past' FROM \
         unnest($2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[]) AS n (account, span, start_ms, epoch, kept) \
         WHERE leases.account = n.account AND leases.span = n.span AND leases.start_ms = n.start_ms \
         AND leases.epoch = n.epoch AND leases.holder = $1",
    )
    .bind(&**name)
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
    .bind(epochs)
    .bind(kept)
    .execute(&mut *transaction)
    .await?;
    standing::save(&mut transaction, &budgets).await?;
    transaction.commit().await?;
    Ok(Holder {
        name: name.clone(),
        epoch,
    })
}

/// There may be many.
fn by_id(budgets: &mut [Locked]) -> HashMap<BudgetId, &mut Standing> {
    let mut standings = HashMap::with_capacity(budgets.len());
    for budget in budgets {
        standings.insert(budget.id.clone(), &mut budget.standing);
    }
    standings
}

/// Closes the leases of epochs before whose rows have all arrived: what no row explains was held when the process died, and counts
/// as spent.
pub(super) async fn close_past(
    connection: &mut PgConnection,
    holder: &Holder,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    write_off(&mut transaction, &holder.name, holder.epoch).await?;
    transaction.commit().await
}

/// Writes off what is out in leases of epochs before `epoch`, and deletes them; how much it was.
async fn write_off(
    connection: &mut PgConnection,
    holder: &str,
    epoch: i64,
) -> Result<i64, sqlx::Error> {
    let past = "SELECT account, span, start_ms FROM leases WHERE holder = $1 AND epoch < $2";
    let found = sqlx::query(past)
        .bind(holder)
        .bind(epoch)
        .fetch_all(&mut *connection)
        .await?;
    let ids: Vec<BudgetId> = found.iter().map(standing::id).collect::<Result<_, _>>()?;
    let mut budgets = standing::lock(connection, &Ids::of(&ids)).await?;
    let close = concat!(
        "DELETE FROM leases WHERE holder = $1 AND epoch < $2 RETURNING ",
        lease_columns!()
    );
    let closed = sqlx::query(close)
        .bind(holder)
        .bind(epoch)
        .fetch_all(&mut *connection)
        .await?;
    let mut standings = by_id(&mut budgets);
    let mut lost = 0;
    for row in &closed {
        let id = standing::id(row)?;
        let Granted { size, spent, .. } = standing::granted(row)?;
        if let Some(standing) = standings.get_mut(&id) {
            standing.write_off(size - spent);
            lost += size - spent;
        }
    }
    standing::save(connection, &budgets).await?;
    Ok(lost)
}

/// Closes all leases of a holder that is gone for good: what was out counts as spent. `None` if the holder may be alive: it was heard
/// of within the time for which its leases are good, and `sure` does not say that it is dead.
pub(super) async fn close_dead(
    connection: &mut PgConnection,
    holder: &str,
    sure: bool,
) -> Result<Option<i64>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // Whatever it is, it has no say any more, not even if it wakes up now.
    let epoch: Option<i64> = sqlx::query_scalar(
        "UPDATE holders SET epoch = epoch + 1, seen_ms = 0 WHERE holder = $1 AND ($2 OR seen_ms + ttl_ms + ttl_ms / 10 \
         < (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT) RETURNING epoch",
    )
    .bind(holder)
    .bind(sure)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(epoch) = epoch else {
        return Ok(None);
    };
    let lost = write_off(&mut transaction, holder, epoch).await?;
    transaction.commit().await?;
    Ok(Some(lost))
}
