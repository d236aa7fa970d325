use sqlx::PgConnection;

use super::{posting, rows::end_millis, standing::Ids};
use crate::store::{lease::Ask, ledger::quarter};

/// Makes the budgets of windows of `now` that are not there yet, with what the ledger knows of them. The limit is that of the window
/// before: whoever changes it says so, and of those who have not heard of a change, the first to come would undo it.
pub(super) async fn bear(
    connection: &mut PgConnection,
    asks: &[Ask],
    ids: &Ids,
    now: i64,
) -> Result<(), sqlx::Error> {
    let ends: Vec<i64> = asks.iter().map(|ask| end_millis(ask.end)).collect();
    let missing: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[]) AS n (account, span, start_ms, end_ms) \
         LEFT JOIN budgets USING (account, span, start_ms) \
         WHERE n.start_ms <= $5 AND $5 < n.end_ms AND budgets.account IS NULL)",
    )
    .bind(&ids.account)
    .bind(&ids.span)
    .bind(&ids.start)
    .bind(&ends)
    .bind(now)
    .fetch_one(&mut *connection)
    .await?;
    if !missing {
        return Ok(());
    }
    posting::no_rows(connection).await?;
    let limits: Vec<i64> = asks.iter().map(|ask| ask.limit).collect();
    let firsts: Vec<i64> = asks.iter().map(|ask| quarter(ask.id.start)).collect();
    let lasts: Vec<i64> = asks
        .iter()
        .map(|a| a.end.map_or(i64::MAX, quarter))
        .collect();
    sqlx::query(
        "INSERT INTO budgets (account, span, start_ms, end_ms, limit_nanos, posted_nanos, excess_nanos) \
         SELECT n.account, n.span, n.start_ms, n.end_ms, l.lim, LEAST(s.spent, l.lim), GREATEST(s.spent - l.lim, 0) \
         FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[]) \
         AS n (account, span, start_ms, end_ms, lim, first, last), \
         LATERAL (SELECT COALESCE((SELECT COALESCE(target_nanos, limit_nanos) FROM budgets \
         WHERE account = n.account AND span = n.span AND start_ms < n.start_ms ORDER BY start_ms DESC LIMIT 1), n.lim) AS lim) AS l, \
         LATERAL (SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT AS spent FROM spending \
         WHERE account = n.account AND quarter >= n.first AND quarter < n.last) AS s \
         WHERE n.start_ms <= $8 AND $8 < n.end_ms ORDER BY n.account, n.span, n.start_ms \
         ON CONFLICT DO NOTHING",
    )
    .bind(&ids.account)
    .bind(&ids.span)
    .bind(&ids.start)
    .bind(ends)
    .bind(limits)
    .bind(firsts)
    .bind(lasts)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
