use std::{sync::Arc, time::SystemTime};

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::rows::{millis, text, time};
use crate::store::{
    Window,
    lease::{BudgetId, Granted, Standing},
    ledger::quarter,
};

/// What [`locked`] reads. Columns are named wherever a row is read: a process that runs while a later one adds a column would get
/// another row than its prepared statement says, and from then on an error each time.
macro_rules! budget_columns {
    () => {
        "account, span, start_ms, end_ms, limit_nanos, target_nanos, posted_nanos, granted_nanos, excess_nanos, \
         unexplained_nanos, recall"
    };
}

/// What [`id`] and [`granted`] read, and the epoch.
macro_rules! lease_columns {
    () => {
        "account, span, start_ms, epoch, granted_nanos, spent_nanos, beyond_nanos, opened_ms"
    };
}
pub(super) use lease_columns;

/// A budget's row, locked until the transaction ends. All transactions lock budgets in the same order, and before leases.
pub(super) struct Locked {
    pub(super) id: BudgetId,
    pub(super) end_ms: i64,
    pub(super) standing: Standing,
    pub(super) recall: i64,
}

/// Names of budgets as columns.
#[derive(Default)]
pub(super) struct Ids {
    pub(super) account: Vec<String>,
    pub(super) span: Vec<String>,
    pub(super) start: Vec<i64>,
}

impl Ids {
    pub(super) fn of<'a>(ids: impl IntoIterator<Item = &'a BudgetId>) -> Self {
        let mut columns = Self::default();
        for id in ids {
            columns.account.push(text(&id.account).into_owned());
            columns.span.push(id.span.to_string());
            columns.start.push(millis(id.start));
        }
        columns
    }
}

/// Reads the name of a budget from a row.
pub(super) fn id(row: &PgRow) -> Result<BudgetId, sqlx::Error> {
    Ok(BudgetId {
        account: row.try_get::<&str, _>("account")?.into(),
        span: row.try_get::<&str, _>("span")?.into(),
        start: time(row.try_get("start_ms")?),
    })
}

/// Reads a lease from its row.
pub(super) fn granted(row: &PgRow) -> Result<Granted, sqlx::Error> {
    Ok(Granted {
        began: time(row.try_get("opened_ms")?),
        size: row.try_get("granted_nanos")?,
        spent: row.try_get("spent_nanos")?,
        beyond: row.try_get("beyond_nanos")?,
    })
}

/// Locks the budgets of these names, which may be named more than once.
pub(super) async fn lock(
    connection: &mut PgConnection,
    ids: &Ids,
) -> Result<Vec<Locked>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        budget_columns!(),
        " FROM budgets JOIN (SELECT DISTINCT * FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS n (account, span, start_ms)) \
         AS wanted USING (account, span, start_ms) \
         ORDER BY budgets.account, budgets.span, budgets.start_ms FOR UPDATE OF budgets",
    ))
    .bind(&ids.account)
    .bind(&ids.span)
    .bind(&ids.start)
    .fetch_all(connection)
    .await?;
    rows.iter().map(locked).collect()
}

/// Locks the budgets of these accounts whose windows touch the time from `first` to `last`.
pub(super) async fn lock_during(
    connection: &mut PgConnection,
    accounts: &[Arc<str>],
    first: i64,
    last: i64,
) -> Result<Vec<Locked>, sqlx::Error> {
    let accounts: Vec<_> = accounts.iter().map(|a| text(a)).collect();
    let rows = sqlx::query(concat!(
        "SELECT ",
        budget_columns!(),
        " FROM budgets WHERE account = ANY($1) AND start_ms <= $3 AND end_ms > $2 \
         ORDER BY account, span, start_ms FOR UPDATE",
    ))
    .bind(accounts)
    .bind(first)
    .bind(last)
    .fetch_all(connection)
    .await?;
    rows.iter().map(locked).collect()
}

fn locked(row: &PgRow) -> Result<Locked, sqlx::Error> {
    Ok(Locked {
        id: id(row)?,
        end_ms: row.try_get("end_ms")?,
        recall: row.try_get("recall")?,
        standing: Standing {
            limit: row.try_get("limit_nanos")?,
            target: row.try_get("target_nanos")?,
            posted: row.try_get("posted_nanos")?,
            granted: row.try_get("granted_nanos")?,
            excess: row.try_get("excess_nanos")?,
            unexplained: row.try_get("unexplained_nanos")?,
        },
    })
}

/// Writes locked budgets back.
pub(super) async fn save(
    connection: &mut PgConnection,
    rows: &[Locked],
) -> Result<(), sqlx::Error> {
    let ids = Ids::of(rows.iter().map(|row| &row.id));
    let column = |of: fn(&Standing) -> i64| -> Vec<i64> {
        rows.iter().map(|row| of(&row.standing)).collect()
    };
    let targets: Vec<Option<i64>> = rows.iter().map(|row| row.standing.target).collect();
    let recalls: Vec<i64> = rows.iter().map(|row| row.recall).collect();
    sqlx::query(
        "UPDATE budgets SET limit_nanos = n.limit_nanos, target_nanos = n.target_nanos, posted_nanos = n.posted_nanos, \
         granted_nanos = n.granted_nanos, excess_nanos = n.excess_nanos, unexplained_nanos = n.unexplained_nanos, \
         recall = n.recall \
         FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], \
         $8::BIGINT[], $9::BIGINT[], $10::BIGINT[]) \
         AS n (account, span, start_ms, limit_nanos, target_nanos, posted_nanos, granted_nanos, excess_nanos, \
         unexplained_nanos, recall) \
         WHERE budgets.account = n.account AND budgets.span = n.span AND budgets.start_ms = n.start_ms",
    )
    .bind(ids.account)
    .bind(ids.span)
    .bind(ids.start)
    .bind(column(|s| s.limit))
    .bind(targets)
    .bind(column(|s| s.posted))
    .bind(column(|s| s.granted))
    .bind(column(|s| s.excess))
    .bind(column(|s| s.unexplained))
    .bind(recalls)
    .execute(connection)
    .await?;
    Ok(())
}

/// What was spent over the windows of `now` of these accounts, and what is out in leases, in their order.
pub(super) async fn read(
    connection: &mut PgConnection,
    budgets: impl Iterator<Item = (&Arc<str>, &Window)>,
    now: SystemTime,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let (mut accounts, mut spans) = (Vec::new(), Vec::new());
    let (mut starts, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for (account, window) in budgets {
        let (start, end) = window.span(now);
        accounts.push(text(account));
        spans.push(window.to_string());
        starts.push(millis(start));
        firsts.push(quarter(start));
        lasts.push(end.map_or(i64::MAX, quarter));
    }
    sqlx::query_as(
        "SELECT COALESCE(posted_nanos + excess_nanos, (SELECT SUM(cost_nanos) FROM spending \
         WHERE account = n.account AND quarter >= n.first AND quarter < n.last), 0)::BIGINT, COALESCE(granted_nanos, 0) \
         FROM unnest($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[]) \
         WITH ORDINALITY AS n (account, span, start_ms, first, last, place) \
         LEFT JOIN budgets USING (account, span, start_ms) ORDER BY place",
    )
    .bind(accounts)
    .bind(spans)
    .bind(starts)
    .bind(firsts)
    .bind(lasts)
    .fetch_all(connection)
    .await
}
