use std::sync::Arc;

use sqlx::Error as SqlError;

use super::columns::{self, Columns};
use crate::{
    catalog::{DeploymentId, Money, Tier},
    error::Error,
    model::{CostSource, Operation, Usage},
    store::{Entry, LedgerRow, RowStatus, plain::time},
};

/// The columns of the tokens, in the order of [`Usage::buckets`].
const TOKENS: [&str; 6] = [
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
];

/// The entry of a row of `llm_calls`. One that cannot be read is named.
pub(in crate::store) fn read(row: &impl Columns) -> Result<Entry, Error> {
    let seq = row
        .big("seq")
        .map_err(|e| Error::internal("the ledger has a row without a number").with_source(e))?;
    entry(row, seq).map_err(|e| Error::internal(format!("row {seq} cannot be read")).with_source(e))
}

fn entry(row: &impl Columns, seq: i64) -> Result<Entry, SqlError> {
    Ok(Entry {
        seq: columns::unsigned(seq),
        chain: row.chain("chain")?,
        row: ledger_row(row)?,
    })
}

fn ledger_row(row: &impl Columns) -> Result<LedgerRow, SqlError> {
    let strange = |column: &'static str| {
        move || {
            SqlError::Decode(format!("the column {column} has a name of another version").into())
        }
    };
    let shared = |column| Ok::<_, SqlError>(row.maybe_text(column)?.map(Arc::<str>::from));
    let accounts: Vec<Arc<str>> = columns::parsed(row.text("accounts")?)?;
    Ok(LedgerRow {
        request: row.text("request_id")?.into(),
        attempt: unsigned(row.int("attempt")?),
        tenant: row.text("tenant")?.into(),
        accounts: accounts.into(),
        key: shared("key_id")?,
        user: shared("user_id")?,
        conversation: shared("conversation_id")?,
        op: Operation::of_name(row.text("op")?).ok_or_else(strange("op"))?,
        deployment: DeploymentId::from(row.text("deployment")?),
        tier: Tier::new(u8::try_from(row.small("tier")?).unwrap_or(0)),
        status: RowStatus::of_name(row.text("status")?).ok_or_else(strange("status"))?,
        usage: usage(row)?,
        cost: Money::from_nanos(row.big("cost_nanos")?),
        source: CostSource::of_name(row.text("cost_source")?).ok_or_else(strange("cost_source"))?,
        price_version: shared("price_version")?,
        clamped: row.flag("clamped")?,
        started: time(row.big("started_ms")?),
        first_frame_ms: row.maybe_int("first_frame_ms")?.map(unsigned),
        total_ms: unsigned(row.int("total_ms")?),
    })
}

/// All of them are there, or none.
fn usage(row: &impl Columns) -> Result<Option<Usage>, SqlError> {
    let mut buckets = [0; 6];
    for (bucket, column) in buckets.iter_mut().zip(TOKENS) {
        let Some(tokens) = row.maybe_big(column)? else {
            return Ok(None);
        };
        *bucket = columns::unsigned(tokens);
    }
    Ok(Some(Usage::from_buckets(buckets)))
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
