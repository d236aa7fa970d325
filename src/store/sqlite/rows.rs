use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use sqlx::{Arguments, AssertSqlSafe, SqliteConnection, sqlite::SqliteArguments};

use crate::{
    catalog::Money,
    store::{
        Entry, LedgerRow,
        ledger::quarter,
        plain::{millis, text},
    },
};

/// Rows per statement, each size prepared once and used again: a batch takes few statements, whatever its length.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

const COLUMNS: [&str; 26] = [
    "seq",
    "chain",
    "request_id",
    "attempt",
    "started_ms",
    "tenant",
    "accounts",
    "key_id",
    "user_id",
    "conversation_id",
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
    "price_version",
    "clamped",
    "first_frame_ms",
    "total_ms",
];

static STATEMENTS: LazyLock<[Arc<str>; SIZES.len()]> = LazyLock::new(|| SIZES.map(statement));

fn statement(rows: usize) -> Arc<str> {
    let row = format!("({})", ["?"; COLUMNS.len()].join(","));
    format!(
        "INSERT INTO llm_calls ({}) VALUES {}",
        COLUMNS.join(","),
        vec![row; rows].join(",")
    )
    .into()
}

/// Inserts all rows, and adds what they cost to what their accounts have spent.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    let mut rest = entries;
    for (size, statement) in SIZES.into_iter().zip(&*STATEMENTS) {
        let chunks = rest.chunks_exact(size);
        rest = chunks.remainder();
        for chunk in chunks {
            run(connection, statement, chunk).await?;
        }
    }
    for ((account, quarter), cost) in spending(entries) {
        sqlx::query(
            "INSERT INTO spending (account, quarter, cost_nanos) VALUES (?, ?, ?) \
             ON CONFLICT DO UPDATE SET cost_nanos = cost_nanos + excluded.cost_nanos",
        )
        .bind(&*account)
        .bind(quarter)
        .bind(cost.nanos())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// What each account has spent in each quarter of an hour.
fn spending(entries: &[Entry]) -> BTreeMap<(Cow<'_, str>, i64), Money> {
    let mut spending = BTreeMap::new();
    let paid = entries.iter().map(|entry| &entry.row);
    for row in paid.filter(|row| !row.cost.is_zero()) {
        for account in row.accounts.iter() {
            let spent: &mut Money = spending
                .entry((text(account), quarter(row.started)))
                .or_default();
            *spent += row.cost;
        }
    }
    spending
}

async fn run(
    connection: &mut SqliteConnection,
    sql: &Arc<str>,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    let mut values = SqliteArguments::default();
    values.reserve(entries.len() * COLUMNS.len(), 0);
    for entry in entries {
        bind(&mut values, entry).map_err(sqlx::Error::Encode)?;
    }
    sqlx::query_with(AssertSqlSafe(sql.clone()), values)
        .execute(connection)
        .await?;
    Ok(())
}

/// Binds in the order of [`COLUMNS`].
fn bind(to: &mut SqliteArguments, entry: &Entry) -> Result<(), sqlx::error::BoxDynError> {
    let row: &LedgerRow = &entry.row;
    to.add(i64::try_from(entry.seq)?)?;
    to.add(entry.chain.to_vec())?;
    to.add(row.request.clone())?;
    to.add(row.attempt)?;
    to.add(millis(row.started))?;
    to.add(row.tenant.clone())?;
    to.add(serde_json::to_string(&row.accounts)?)?;
    to.add(row.key.clone())?;
    to.add(row.user.clone())?;
    to.add(row.conversation.clone())?;
    to.add(row.op.as_str())?;
    to.add(row.deployment.as_str())?;
    to.add(row.tier.level())?;
    to.add(row.status.as_str())?;
    let tokens = row.usage.map(|usage| usage.buckets());
    for bucket in 0..6 {
        to.add(tokens.map(|t| i64::try_from(t[bucket]).unwrap_or(i64::MAX)))?;
    }
    to.add(row.cost.nanos())?;
    to.add(row.source.as_str())?;
    to.add(row.price_version.clone())?;
    to.add(row.clamped)?;
    to.add(row.first_frame_ms)?;
    to.add(row.total_ms)
}
