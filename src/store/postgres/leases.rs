//! What a holder says to the database, each a transaction. Locks come in one order: the holder, budgets by name, leases.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use sqlx::{Connection, PgConnection, Row};

use super::{
    births,
    rows::millis,
    standing::{self, Ids, Locked},
};
use crate::store::lease::{Answer, BudgetId, Standing, Wish};

/// A holder that was not heard of for so long is no replica to leave money for.
const ABSENT_MS: i64 = 15_000;

/// What a channel is called on which holders are told that somebody needs idle money.
pub(super) const RECALLS: &str = "rungs_recalls";

/// A holder of leases, in one of its epochs.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) name: Arc<str>,
    pub(super) epoch: i64,
}

/// What a holder wants of a budget.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) id: BudgetId,
    pub(super) end: Option<SystemTime>,
    /// What the lease is to be at most.
    pub(super) keep: i64,
    /// What it is to be, where nothing is on its way back.
    pub(super) wish: Option<Wish>,
    /// The limit of a budget that is not known yet.
    pub(super) limit: i64,
    /// Whether the limit replaces another.
    pub(super) announce: bool,
}

/// A lease as the database has it.
#[derive(Debug, Clone, Copy, Default)]
struct Lease {
    granted: i64,
    spent: i64,
}

/// Deletes leases of windows that are over with nothing out any more.
pub(super) async fn sweep(
    connection: &mut PgConnection,
    holder: &Holder,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM leases USING budgets WHERE leases.holder = $1 AND leases.granted_nanos = leases.spent_nanos \
         AND budgets.account = leases.account AND budgets.span = leases.span AND budgets.start_ms = leases.start_ms \
         AND budgets.end_ms < (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT - 60000",
    )
    .bind(&*holder.name)
    .execute(connection)
    .await?;
    Ok(())
}

/// The holder has ended in order: nobody need leave money for it.
pub(super) async fn leave(
    connection: &mut PgConnection,
    holder: &Holder,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE holders SET seen_ms = 0 WHERE holder = $1 AND epoch = $2")
        .bind(&*holder.name)
        .bind(holder.epoch)
        .execute(connection)
        .await?;
    Ok(())
}

/// The budgets of which somebody needs what is idle here.
pub(super) async fn recalls(
    connection: &mut PgConnection,
    holder: &Holder,
) -> Result<Vec<BudgetId>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT l.account, l.span, l.start_ms FROM leases l JOIN budgets b USING (account, span, start_ms) \
         WHERE l.holder = $1 AND l.epoch = $2 AND l.recall_seen < b.recall",
    )
    .bind(&*holder.name)
    .bind(holder.epoch)
    .fetch_all(connection)
    .await?;
    rows.iter().map(standing::id).collect()
}

/// Gives back and grants, all in one transaction, and renews the holder. `None` if the holder has no say any more.
pub(super) async fn adjust(
    connection: &mut PgConnection,
    holder: &Holder,
    asks: &[Ask],
    round: u64,
) -> Result<Option<Vec<(BudgetId, Answer)>>, sqlx::Error> {
    let opened = millis(SystemTime::now());
    let mut transaction = connection.begin().await?;
    let now: Option<i64> = sqlx::query_scalar(
        "UPDATE holders SET seen_ms = (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT \
         WHERE holder = $1 AND epoch = $2 RETURNING seen_ms",
    )
    .bind(&*holder.name)
    .bind(holder.epoch)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(now) = now else {
        return Ok(None);
    };
    if asks.is_empty() {
        transaction.commit().await?;
        return Ok(Some(Vec::new()));
    }
    let ids = Ids::of(asks.iter().map(|ask| &ask.id));
    births::bear(&mut transaction, asks, &ids, now).await?;
    let mut budgets = standing::lock(&mut transaction, &ids).await?;
    let leases = own_leases(&mut transaction, holder, &ids).await?;
    let replicas: i64 = sqlx::query_scalar("SELECT count(*) FROM holders WHERE seen_ms > $1")
        .bind(now - ABSENT_MS)
        .fetch_one(&mut *transaction)
        .await?;
    let mut answers = Vec::with_capacity(budgets.len());
    let mut starving = Vec::new();
    for ask in asks {
        let Some(budget) = budgets.iter_mut().find(|b| b.id == ask.id) else {
            continue;
        };
        let lease = leases.get(&ask.id).copied().unwrap_or_default();
        let open = millis(ask.id.start) <= now && now < budget.end_ms;
        let size = settle_ask(ask, &mut budget.standing, lease, open, replicas);
        let others = budget.standing.granted - (size - lease.spent);
        if ask.wish.as_ref().is_some_and(|w| !w.needs.is_empty())
            && size == lease.granted
            && others > 0
        {
            starving.push(ask.id.clone());
        }
        answers.push((
            ask.id.clone(),
            Answer {
                standing: budget.standing,
                size,
                shipped: lease.spent,
                arrived: lease.spent == lease.granted,
                round,
            },
        ));
    }
    call_in(&mut transaction, holder, &mut budgets, &starving, now).await?;
    standing::save(&mut transaction, &budgets).await?;
    save_leases(&mut transaction, holder, &budgets, &answers, opened).await?;
    transaction.commit().await?;
    Ok(Some(answers))
}

/// What a lease is to be from now on.
fn settle_ask(ask: &Ask, standing: &mut Standing, lease: Lease, open: bool, replicas: i64) -> i64 {
    if ask.announce && standing.wanted_limit() != ask.limit {
        standing.set_limit(ask.limit);
    }
    match &ask.wish {
        Some(wish) if open => lease.granted + standing.grant(wish, replicas),
        Some(_) => lease.granted,
        None => {
            let size = ask.keep.max(lease.spent).min(lease.granted);
            standing.give_back(lease.granted - size);
            size
        }
    }
}

/// Calls for what is idle with others of these budgets, unless they have not answered the last call yet.
async fn call_in(
    connection: &mut PgConnection,
    holder: &Holder,
    budgets: &mut [Locked],
    starving: &[BudgetId],
    now: i64,
) -> Result<(), sqlx::Error> {
    let mut called = false;
    for budget in budgets.iter_mut().filter(|b| starving.contains(&b.id)) {
        let unanswered: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM leases JOIN holders USING (holder) \
             WHERE account = $1 AND span = $2 AND start_ms = $3 AND leases.holder <> $4 AND recall_seen < $5 AND seen_ms > $6 \
             AND leases.epoch = holders.epoch)",
        )
        .bind(&*budget.id.account)
        .bind(&*budget.id.span)
        .bind(millis(budget.id.start))
        .bind(&*holder.name)
        .bind(budget.recall)
        .bind(now - ABSENT_MS)
        .fetch_one(&mut *connection)
        .await?;
        if !unanswered {
            budget.recall += 1;
            called = true;
        }
    }
    if called {
        sqlx::query("SELECT pg_notify($1, '')")
            .bind(RECALLS)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn own_leases(
    connection: &mut PgConnection,
    holder: &Holder,
    ids: &Ids,
) -> Result<HashMap<BudgetId, Lease>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT leases.* FROM leases \
         JOIN unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS wanted (account, span, start_ms) USING (account, span, start_ms) \
         WHERE holder = $4 AND epoch = $5",
    )
    .bind(&ids.account)
    .bind(&ids.span)
    .bind(&ids.start)
    .bind(&*holder.name)
    .bind(holder.epoch)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok((
                standing::id(row)?,
                Lease {
                    granted: row.try_get("granted_nanos")?,
                    spent: row.try_get("spent_nanos")?,
                },
            ))
        })
        .collect()
}

async fn save_leases(
    connection: &mut PgConnection,
    holder: &Holder,
    budgets: &[Locked],
    answers: &[(BudgetId, Answer)],
    opened: i64,
) -> Result<(), sqlx::Error> {
    let ids = Ids::of(answers.iter().map(|(id, _)| id));
    let sizes: Vec<i64> = answers.iter().map(|(_, answer)| answer.size).collect();
    let recalls: Vec<i64> = answers
        .iter()
        .map(|(id, _)| budgets.iter().find(|b| b.id == *id).map_or(0, |b| b.recall))
        .collect();
    sqlx::query(
        "INSERT INTO leases (account, span, start_ms, holder, epoch, granted_nanos, recall_seen, opened_ms) \
         SELECT account, span, start_ms, $4, $5, granted, recall, $8 FROM \
         unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $6::BIGINT[], $7::BIGINT[]) AS n (account, span, start_ms, granted, recall) \
         ON CONFLICT (account, span, start_ms, holder, epoch) \
         DO UPDATE SET granted_nanos = excluded.granted_nanos, recall_seen = excluded.recall_seen",
    )
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
    .bind(&*holder.name)
    .bind(holder.epoch)
    .bind(sizes)
    .bind(recalls)
    .bind(opened)
    .execute(connection)
    .await?;
    Ok(())
}
