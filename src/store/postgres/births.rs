use std::time::SystemTime;

use sqlx::PgConnection;

use super::{
    posting,
    rows::{millis, text},
    standing::{self, Ids},
};
use crate::store::{lease::Ask, ledger::quarter};

/// Makes the budgets that are not there yet, with what the ledger knows of them.
pub(super) async fn bear(
    connection: &mut PgConnection,
    asks: &[Ask],
    ids: &Ids,
    now: i64,
) -> Result<(), sqlx::Error> {
    let known: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM budgets \
         JOIN unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS wanted (account, span, start_ms) USING (account, span, start_ms)",
    )
    .bind(&ids.account)
    .bind(&ids.span)
    .bind(&ids.start)
    .fetch_one(&mut *connection)
    .await?;
    if usize::try_from(known).unwrap_or(0) == asks.len() {
        return Ok(());
    }
    posting::no_rows(connection).await?;
    for ask in asks {
        let start = millis(ask.id.start);
        let end = ask.end.map_or(i64::MAX, millis);
        if start > now || now >= end {
            continue;
        }
        let born = sqlx::query(
            "INSERT INTO budgets (account, span, start_ms, end_ms, limit_nanos) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(&*text(&ask.id.account))
        .bind(&*ask.id.span)
        .bind(start)
        .bind(end)
        .bind(ask.limit)
        .execute(&mut *connection)
        .await?;
        if born.rows_affected() > 0 {
            let spent = spent_before(connection, &ask.id.account, ask.id.start, ask.end).await?;
            let mut budgets = standing::lock(connection, &Ids::of([&ask.id])).await?;
            for budget in &mut budgets {
                budget.standing.post(0, spent);
            }
            standing::save(connection, &budgets).await?;
        }
    }
    Ok(())
}

/// What the ledger knows of an account's spending.
async fn spent_before(
    connection: &mut PgConnection,
    account: &str,
    start: SystemTime,
    end: Option<SystemTime>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM spending WHERE account = $1 AND quarter >= $2 AND quarter < $3",
    )
    .bind(&*text(account))
    .bind(quarter(start))
    .bind(end.map_or(i64::MAX, quarter))
    .fetch_one(connection)
    .await
}
