use sqlx::PgConnection;

use super::{
    leases::Ask,
    posting,
    rows::millis,
    standing::{self, Ids},
};

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
        .bind(&*ask.id.account)
        .bind(&*ask.id.span)
        .bind(start)
        .bind(end)
        .bind(ask.limit)
        .execute(&mut *connection)
        .await?;
        if born.rows_affected() > 0 {
            let spent = spent_before(connection, &ask.id.account, start, end).await?;
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
    start: i64,
    end: i64,
) -> Result<i64, sqlx::Error> {
    let (kind, name) = account.split_once(':').unwrap_or((account, ""));
    let (tenant, user) = name.split_once('/').unwrap_or((name, ""));
    let sql = match kind {
        "global" => {
            "SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM llm_calls WHERE started_ms >= $1 AND started_ms < $2"
        }
        "user" => {
            "SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM llm_calls WHERE started_ms >= $1 AND started_ms < $2 \
             AND tenant = $3 AND user_id = $4"
        }
        // A key pays for those below it as well.
        "key" => {
            "WITH RECURSIVE family(id) AS (SELECT $3 UNION SELECT api_keys.id FROM api_keys JOIN family ON parent = family.id) \
             SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM llm_calls WHERE started_ms >= $1 AND started_ms < $2 \
             AND key_id IN (SELECT id FROM family)"
        }
        "project" => {
            "SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM llm_calls WHERE started_ms >= $1 AND started_ms < $2 \
             AND key_id IN (SELECT id FROM api_keys WHERE project = $3)"
        }
        _ => return Ok(0),
    };
    let query = sqlx::query_scalar(sql).bind(start).bind(end);
    let query = match kind {
        "global" => query,
        "user" => query.bind(tenant).bind(user),
        _ => query.bind(name),
    };
    query.fetch_one(connection).await
}
