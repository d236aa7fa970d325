use std::{
    sync::{Arc, LazyLock},
    time::{SystemTime, UNIX_EPOCH},
};

use sqlx::{Arguments, AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteArguments};

use crate::store::LedgerRow;

/// Rows per statement, each size prepared once and used again: a batch takes few statements, whatever its length.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

const COLUMNS: [&str; 22] = [
    "request_id",
    "attempt",
    "started_ms",
    "tenant",
    "key_id",
    "user_id",
    "conversation_id",
    "accounts",
    "op",
    "deployment",
    "tier",
    "status",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nanos",
    "cost_source",
    "first_frame_ms",
    "total_ms",
];

static STATEMENTS: LazyLock<[Arc<str>; SIZES.len()]> = LazyLock::new(|| SIZES.map(statement));

/// `OR IGNORE`: after an error at commit the rows may be there already, and are sent again.
fn statement(rows: usize) -> Arc<str> {
    let row = format!("({})", ["?"; COLUMNS.len()].join(","));
    format!(
        "INSERT OR IGNORE INTO llm_calls ({}) VALUES {}",
        COLUMNS.join(","),
        vec![row; rows].join(",")
    )
    .into()
}

/// Inserts all rows in one transaction.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    rows: &[LedgerRow],
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut rest = rows;
    for (size, statement) in SIZES.into_iter().zip(&*STATEMENTS) {
        let chunks = rest.chunks_exact(size);
        rest = chunks.remainder();
        for chunk in chunks {
            run(&mut transaction, statement, chunk).await?;
        }
    }
    transaction.commit().await
}

async fn run(
    connection: &mut SqliteConnection,
    sql: &Arc<str>,
    rows: &[LedgerRow],
) -> Result<(), sqlx::Error> {
    let mut values = SqliteArguments::default();
    values.reserve(rows.len() * COLUMNS.len(), 0);
    for row in rows {
        bind(&mut values, row).map_err(sqlx::Error::Encode)?;
    }
    sqlx::query_with(AssertSqlSafe(sql.clone()), values)
        .execute(connection)
        .await?;
    Ok(())
}

/// Binds in the order of [`COLUMNS`].
fn bind(to: &mut SqliteArguments, row: &LedgerRow) -> Result<(), sqlx::error::BoxDynError> {
    to.add(row.request.clone())?;
    to.add(row.attempt)?;
    to.add(millis(row.started))?;
    to.add(row.tenant.clone())?;
    to.add(row.key.clone())?;
    to.add(row.user.clone())?;
    to.add(row.conversation.clone())?;
    to.add(serde_json::to_string(&row.accounts)?)?;
    to.add(row.op.as_str())?;
    to.add(row.deployment.as_str())?;
    to.add(row.tier.level())?;
    to.add(row.status.as_str())?;
    let tokens = row.usage.map(|u| {
        [
            u.input,
            u.cache_read,
            u.cache_write_5m,
            u.cache_write_1h,
            u.output,
            u.reasoning,
        ]
    });
    for bucket in 0..6 {
        to.add(tokens.map(|t| i64::try_from(t[bucket]).unwrap_or(i64::MAX)))?;
    }
    to.add(row.cost.nanos())?;
    to.add(row.source.as_str())?;
    to.add(row.first_frame_ms)?;
    to.add(row.total_ms)
}

/// Milliseconds since 1970; times that do not fit become the nearest that do.
pub(super) fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
