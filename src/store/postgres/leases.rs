//! What a holder says to the database, each a transaction. Locks come in one order: the holder, budgets by name, leases.

use std::{collections::HashMap, sync::Arc};

use sqlx::{Connection, PgConnection, Row};

use super::{
    births,
    rows::{self, end_millis, millis},
    standing::{self, Ids, Locked, lease_columns},
};
use crate::store::lease::{Answer, Ask, BudgetId, Granted, Line, Questions};

/// A holder that was not heard of for so long is no replica to leave money for.
const ABSENT_MS: i64 = 15_000;

/// What a channel is called on which holders are told that somebody needs idle money.
pub(super) const RECALLS: &str = "rungs_recalls";

/// Listens on it, also once more.
pub(super) const LISTEN: &str = "LISTEN rungs_recalls";

/// What the database says of each budget that it was asked about.
pub(super) type Answers = Vec<(BudgetId, Option<Answer>)>;

/// A holder of leases, in one of its epochs.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) name: Arc<str>,
    pub(super) epoch: i64,
}

/// Deletes leases of windows that are over with nothing out any more, but for those that the holder `has` still: it would count them
/// anew.
pub(super) async fn sweep(
    connection: &mut PgConnection,
    holder: &Holder,
    has: impl Fn(&BudgetId) -> bool,
) -> Result<(), sqlx::Error> {
    let done = sqlx::query(
        "SELECT account, span, start_ms FROM leases JOIN budgets USING (account, span, start_ms) \
         WHERE leases.holder = $1 AND leases.granted_nanos = leases.spent_nanos \
         AND budgets.end_ms < (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT - 60000",
    )
    .bind(&*holder.name)
    .fetch_all(&mut *connection)
    .await?;
    let mut ids: Vec<BudgetId> = done.iter().map(standing::id).collect::<Result<_, _>>()?;
    ids.retain(|id| !has(id));
    let ids = Ids::of(&ids);
    sqlx::query(
        "DELETE FROM leases USING unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS n (account, span, start_ms) \
         WHERE leases.account = n.account AND leases.span = n.span AND leases.start_ms = n.start_ms \
         AND leases.holder = $4 AND leases.granted_nanos = leases.spent_nanos",
    )
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
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
         WHERE l.holder = $1 AND l.epoch = $2 AND l.recall_seen < b.recall AND l.granted_nanos > l.spent_nanos",
    )
    .bind(&*holder.name)
    .bind(holder.epoch)
    .fetch_all(connection)
    .await?;
    rows.iter().map(standing::id).collect()
}

/// Gives back and grants, all in one transaction, and renews the holder. Of a budget whose window is not that of now there may be no
/// answer. `None` if the holder has no say any more.
pub(super) async fn adjust(
    connection: &mut PgConnection,
    holder: &Holder,
    questions: &Questions,
    round: u64,
) -> Result<Option<Answers>, sqlx::Error> {
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
    let asks = &questions.asks;
    if asks.is_empty() {
        transaction.commit().await?;
        return Ok(Some(Vec::new()));
    }
    let ids = Ids::of(asks.iter().map(|ask| &ask.id));
    births::bear(&mut transaction, asks, &ids, now).await?;
    let mut budgets = standing::lock(&mut transaction, &ids).await?;
    let leases = own_leases(&mut transaction, holder, &ids).await?;
    // Of these something was held before the database knew the lease. Of a window that is over nothing is granted any more: what the
    // ledger has of it need not be looked for.
    let is_over = |ask: &Ask| end_millis(ask.end) <= now;
    let anew = asks
        .iter()
        .filter(|ask| ask.used > 0 && !is_over(ask) && ask.is_anew(leases.get(&ask.id)));
    let arrived = arrived_before(&mut transaction, holder, anew.collect()).await?;
    let replicas: i64 = sqlx::query_scalar("SELECT count(*) FROM holders WHERE seen_ms > $1")
        .bind(now - ABSENT_MS)
        .fetch_one(&mut *transaction)
        .await?;
    let line = |ask: &Ask| {
        let budget = budgets.iter().find(|b| b.id == ask.id)?;
        let had = leases.get(&ask.id).copied();
        let open = millis(ask.id.start) <= now && now < budget.end_ms;
        let arrived = match is_over(ask) {
            true => ask.used,
            false => arrived.get(&ask.id).copied().unwrap_or(0),
        };
        Some(Line::new(budget.standing, had, open, ask, arrived))
    };
    let mut lines: Vec<_> = asks.iter().map(line).collect();
    questions.decide(&mut lines, replicas);
    let mut answers = Vec::with_capacity(asks.len());
    let mut granted = Vec::with_capacity(asks.len());
    let mut starving = Vec::new();
    for (ask, line) in asks.iter().zip(&lines) {
        answers.push((ask.id.clone(), line.as_ref().map(|line| line.answer(round))));
        let Some(line) = line else { continue };
        if let Some(budget) = budgets.iter_mut().find(|b| b.id == ask.id) {
            budget.standing = line.standing;
        }
        if line.starving && line.others() > 0 {
            starving.push(ask.id.clone());
        }
        granted.push((&ask.id, line.lease));
    }
    call_in(&mut transaction, holder, &mut budgets, &starving, now).await?;
    standing::save(&mut transaction, &budgets).await?;
    save_leases(&mut transaction, holder, &budgets, &granted).await?;
    transaction.commit().await?;
    Ok(Some(answers))
}

/// What has arrived already of what the holder counts on leases that the database does not know yet. Nothing more arrives before it
/// does: the budgets are locked.
async fn arrived_before(
    connection: &mut PgConnection,
    holder: &Holder,
    asks: Vec<&Ask>,
) -> Result<HashMap<BudgetId, i64>, sqlx::Error> {
    let Some(first) = asks.iter().map(|ask| millis(ask.began)).min() else {
        return Ok(HashMap::new());
    };
    let ids = Ids::of(asks.iter().map(|ask| &ask.id));
    let began: Vec<i64> = asks.iter().map(|ask| millis(ask.began)).collect();
    let ends: Vec<i64> = asks.iter().map(|ask| end_millis(ask.end)).collect();
    let name = |ask: &&Ask| {
        // As it stands among others, between quotation marks.
        let list = rows::names(std::slice::from_ref(&ask.id.account));
        list[2..list.len() - 2].to_owned()
    };
    let names: Vec<String> = asks.iter().map(name).collect();
    let found = sqlx::query(
        // Each row is taken apart once, however many budgets are asked about: OFFSET keeps the planner from doing so per budget. Within a
        // name a quotation mark has a backslash before it, so `","` is between names alone; and nothing that stands there fails.
        "SELECT n.account, n.span, n.start_ms, SUM(cost_nanos)::BIGINT AS arrived \
         FROM (SELECT started_ms, cost_nanos, unnest(string_to_array(substr(accounts, 3, greatest(length(accounts) - 4, 0)), '\",\"')) AS name \
         FROM llm_calls JOIN journals ON journals.id = llm_calls.journal WHERE journals.name = $1 AND started_ms >= $2 OFFSET 0) AS paid \
         JOIN unnest($3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::TEXT[]) \
         AS n (account, span, start_ms, began, end_ms, name) USING (name) \
         WHERE started_ms >= n.began AND started_ms < n.end_ms GROUP BY 1, 2, 3",
    )
    .bind(&*holder.name)
    .bind(first)
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
    .bind(began)
    .bind(ends)
    .bind(names)
    .fetch_all(connection)
    .await?;
    let arrived = |row| Ok((standing::id(row)?, row.try_get("arrived")?));
    found.iter().map(arrived).collect()
}

/// Calls for what is idle with others of these budgets, unless they have not answered the last call yet. Who has nothing may have
/// forgotten the lease, and does not answer.
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
             AND leases.epoch = holders.epoch AND granted_nanos > spent_nanos)",
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
) -> Result<HashMap<BudgetId, Granted>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        lease_columns!(),
        " FROM leases \
         JOIN unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS wanted (account, span, start_ms) USING (account, span, start_ms) \
         WHERE holder = $4 AND epoch = $5",
    ))
    .bind(&ids.account)
    .bind(&ids.span)
    .bind(&ids.start)
    .bind(&*holder.name)
    .bind(holder.epoch)
    .fetch_all(connection)
    .await?;
    let lease = |row| Ok((standing::id(row)?, standing::granted(row)?));
    rows.iter().map(lease).collect()
}

async fn save_leases(
    connection: &mut PgConnection,
    holder: &Holder,
    budgets: &[Locked],
    leases: &[(&BudgetId, Granted)],
) -> Result<(), sqlx::Error> {
    let ids = Ids::of(leases.iter().map(|(id, _)| *id));
    let column = |of: fn(&Granted) -> i64| -> Vec<i64> {
        leases.iter().map(|(_, lease)| of(lease)).collect()
    };
    let recalls: Vec<i64> = leases
        .iter()
        .map(|(id, _)| {
            budgets
                .iter()
                .find(|b| b.id == **id)
                .map_or(0, |b| b.recall)
        })
        .collect();
    sqlx::query(
        "INSERT INTO leases (account, span, start_ms, holder, epoch, granted_nanos, spent_nanos, beyond_nanos, opened_ms, recall_seen) \
         SELECT account, span, start_ms, $4, $5, granted, spent, beyond, opened, recall FROM \
         unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::BIGINT[], $9::BIGINT[], $10::BIGINT[]) \
         AS n (account, span, start_ms, granted, spent, beyond, opened, recall) \
         ON CONFLICT (account, span, start_ms, holder, epoch) DO UPDATE SET granted_nanos = excluded.granted_nanos, \
         spent_nanos = excluded.spent_nanos, beyond_nanos = excluded.beyond_nanos, opened_ms = excluded.opened_ms, \
         recall_seen = excluded.recall_seen",
    )
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
    .bind(&*holder.name)
    .bind(holder.epoch)
    .bind(column(|lease| lease.size))
    .bind(column(|lease| lease.spent))
    .bind(column(|lease| lease.beyond))
    .bind(column(|lease| millis(lease.began)))
    .bind(recalls)
    .execute(connection)
    .await?;
    Ok(())
}
