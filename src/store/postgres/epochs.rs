//! The beginning and the end of holders.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection, Row};

use super::{
    leases::Holder,
    standing::{self, Ids, Locked, lease_columns},
};
use crate::store::lease::{BudgetId, Granted, Standing};

/// The most leases of one transaction: of a hundred thousand, one alone would not end in time.
const BATCH: i64 = 1_000;

/// Begins a new epoch. Of leases of epochs before, what was not used goes back, and the rest waits for its rows; `used` says how
/// much of a lease was used, where that is known. What is done stays done, whenever this ends.
pub(super) async fn begin(
    connection: &mut PgConnection,
    name: &Arc<str>,
    ttl: Duration,
    used: impl Fn(i64, &BudgetId) -> Option<i64>,
) -> Result<Holder, sqlx::Error> {
    let epoch: i64 = sqlx::query_scalar(
        "INSERT INTO holders (holder, epoch, seen_ms, ttl_ms) \
         SELECT $1, now, now, $2 FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT AS now) AS clock \
         ON CONFLICT (holder) DO UPDATE SET epoch = GREATEST(holders.epoch + 1, excluded.epoch), \
         seen_ms = excluded.seen_ms, ttl_ms = excluded.ttl_ms RETURNING epoch",
    )
    .bind(&**name)
    .bind(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    .fetch_one(&mut *connection)
    .await?;
    delete_used_up(connection, name, epoch).await?;
    while give_back(connection, name, epoch, &used).await? {}
    Ok(Holder {
        name: name.clone(),
        epoch,
    })
}

/// Deletes leases of epochs before `epoch` with nothing out any more. Budgets do not change with them. Whoever has one locked sees to
/// it, and is not waited for: he may wait for another. One that is used up stays where an older one is not: that must not pay for its
/// rows.
async fn delete_used_up(
    connection: &mut PgConnection,
    holder: &str,
    epoch: i64,
) -> Result<(), sqlx::Error> {
    loop {
        let deleted = sqlx::query(
            "DELETE FROM leases WHERE ctid = ANY (ARRAY(SELECT ctid FROM leases AS used WHERE holder = $1 AND epoch < $2 \
             AND granted_nanos = spent_nanos AND NOT EXISTS (SELECT FROM leases AS older WHERE older.account = used.account \
             AND older.span = used.span AND older.start_ms = used.start_ms AND older.holder = $1 AND older.epoch < used.epoch \
             AND older.granted_nanos > older.spent_nanos) LIMIT $3 FOR UPDATE SKIP LOCKED))",
        )
        .bind(holder)
        .bind(epoch)
        .bind(BATCH)
        .execute(&mut *connection)
        .await?;
        if deleted.rows_affected() == 0 {
            return Ok(());
        }
    }
}

/// Gives back what was not used of some leases of epochs before `epoch`; whether there were any.
async fn give_back(
    connection: &mut PgConnection,
    name: &str,
    epoch: i64,
    used: impl Fn(i64, &BudgetId) -> Option<i64>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let past = "SELECT account, span, start_ms FROM leases WHERE holder = $1 AND epoch < $2 AND state = 'open' LIMIT $3";
    let Some((mut budgets, wanted)) = lock_some(&mut transaction, past, name, epoch).await? else {
        return Ok(false);
    };
    let found = sqlx::query(concat!(
        "SELECT ",
        lease_columns!(),
        " FROM leases JOIN unnest($3::TEXT[], $4::TEXT[], $5::BIGINT[]) AS wanted (account, span, start_ms) \
         USING (account, span, start_ms) WHERE holder = $1 AND epoch < $2 AND state = 'open'"
    ))
    .bind(name)
    .bind(epoch)
    .bind(wanted.account)
    .bind(wanted.span)
    .bind(wanted.start)
    .fetch_all(&mut *transaction)
    .await?;
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
    .bind(name)
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
    .bind(epochs)
    .bind(kept)
    .execute(&mut *transaction)
    .await?;
    standing::save(&mut transaction, &budgets).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The budgets of some leases that `sql` finds, locked, and their ids; `None` if there are none.
async fn lock_some(
    connection: &mut PgConnection,
    sql: &'static str,
    holder: &str,
    epoch: i64,
) -> Result<Option<(Vec<Locked>, Ids)>, sqlx::Error> {
    let found = sqlx::query(sql)
        .bind(holder)
        .bind(epoch)
        .bind(BATCH)
        .fetch_all(&mut *connection)
        .await?;
    if found.is_empty() {
        return Ok(None);
    }
    let ids: Vec<_> = found.iter().map(standing::id).collect::<Result<_, _>>()?;
    let budgets = standing::lock(connection, &Ids::of(&ids)).await?;
    let locked = Ids::of(budgets.iter().map(|budget| &budget.id));
    Ok(Some((budgets, locked)))
}

/// There may be many.
fn by_id(budgets: &mut [Locked]) -> HashMap<BudgetId, &mut Standing> {
    let mut standings = HashMap::with_capacity(budgets.len());
    for budget in budgets {
        standings.insert(budget.id.clone(), &mut budget.standing);
    }
    standings
}

/// Closes some of the leases of epochs before, whose rows have all arrived: what no row explains was held when the process died, and
/// counts as spent. Whether none is left.
pub(super) async fn close_past(
    connection: &mut PgConnection,
    holder: &Holder,
) -> Result<bool, sqlx::Error> {
    let lost = write_off(connection, &holder.name, holder.epoch).await?;
    Ok(lost.is_none())
}

/// Writes off what is out in some leases of epochs before `epoch`, and deletes them; how much it was. `None` if none is left.
pub(super) async fn write_off(
    connection: &mut PgConnection,
    holder: &str,
    epoch: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let past =
        "SELECT account, span, start_ms FROM leases WHERE holder = $1 AND epoch < $2 LIMIT $3";
    let Some((mut budgets, wanted)) = lock_some(&mut transaction, past, holder, epoch).await?
    else {
        return Ok(None);
    };
    let close = concat!(
        "DELETE FROM leases WHERE holder = $1 AND epoch < $2 AND (account, span, start_ms) IN \
         (SELECT * FROM unnest($3::TEXT[], $4::TEXT[], $5::BIGINT[])) RETURNING ",
        lease_columns!()
    );
    let closed = sqlx::query(close)
        .bind(holder)
        .bind(epoch)
        .bind(wanted.account)
        .bind(wanted.span)
        .bind(wanted.start)
        .fetch_all(&mut *transaction)
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
    standing::save(&mut transaction, &budgets).await?;
    transaction.commit().await?;
    Ok(Some(lost))
}

/// Takes its say from a holder that is gone for good; the epoch before which all its leases are. `None` if it may be alive: it was
/// heard of within the time for which its leases are good, and `sure` does not say that it is dead.
pub(super) async fn depose(
    connection: &mut PgConnection,
    holder: &str,
    sure: bool,
) -> Result<Option<i64>, sqlx::Error> {
    // Whatever it is, it has no say any more, not even if it wakes up now.
    sqlx::query_scalar(
        "UPDATE holders SET epoch = epoch + 1, seen_ms = 0 WHERE holder = $1 AND ($2 OR seen_ms + ttl_ms + ttl_ms / 10 \
         < (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT) RETURNING epoch",
    )
    .bind(holder)
    .bind(sure)
    .fetch_optional(connection)
    .await
}
