use std::{sync::Arc, time::SystemTime};

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
        seq: counted("seq", seq)?,
        chain: row.chain("chain")?,
        row: ledger_row(row)?,
    })
}

/// Takes no value for another: what is read as something that it is not could be written where no chain looks.
fn ledger_row(row: &impl Columns) -> Result<LedgerRow, SqlError> {
    let shared = |column| Ok::<_, SqlError>(row.maybe_text(column)?.map(Arc::<str>::from));
    let number = |column| counted(column, row.int(column)?);
    Ok(LedgerRow {
        request: row.text("request_id")?.into(),
        attempt: number("attempt")?,
        tenant: row.text("tenant")?.into(),
        accounts: accounts(row.text("accounts")?)?,
        key: shared("key_id")?,
        user: shared("user_id")?,
        conversation: shared("conversation_id")?,
        op: Operation::of_name(row.text("op")?).ok_or_else(|| strange("op"))?,
        deployment: DeploymentId::from(row.text("deployment")?),
        tier: tier(row.small("tier")?)?,
        status: RowStatus::of_name(row.text("status")?).ok_or_else(|| strange("status"))?,
        usage: usage(row)?,
        cost: Money::from_nanos(row.big("cost_nanos")?),
        source: CostSource::of_name(row.text("cost_source")?)
            .ok_or_else(|| strange("cost_source"))?,
        price_version: shared("price_version")?,
        clamped: row.flag("clamped")?,
        started: started(row.big("started_ms")?)?,
        first_frame_ms: row
            .maybe_int("first_frame_ms")?
            .map(|ms| counted("first_frame_ms", ms))
            .transpose()?,
        total_ms: number("total_ms")?,
    })
}

/// The names of a JSON array that is written as we write it.
fn accounts(text: &str) -> Result<Arc<[Arc<str>]>, SqlError> {
    let accounts: Vec<Arc<str>> = columns::parsed(text)?;
    match columns::json(&accounts) {
        Ok(json) if json == text => Ok(accounts.into()),
        _ => Err(strange("accounts")),
    }
}

fn started(ms: i64) -> Result<SystemTime, SqlError> {
    match ms {
        0.. => Ok(time(ms)),
        _ => Err(strange("started_ms")),
    }
}

fn tier(level: i16) -> Result<Tier, SqlError> {
    let tier = Tier::new(counted("tier", level)?);
    match i16::from(tier.level()) == level {
        true => Ok(tier),
        false => Err(strange("tier")),
    }
}

/// All of them are there, or none.
fn usage(row: &impl Columns) -> Result<Option<Usage>, SqlError> {
    let mut buckets = [0; 6];
    let mut told = 0;
    for (bucket, column) in buckets.iter_mut().zip(TOKENS) {
        if let Some(tokens) = row.maybe_big(column)? {
            *bucket = counted(column, tokens)?;
            told += 1;
        }
    }
    match told {
        0 => Ok(None),
        6 => Ok(Some(Usage::from_buckets(buckets))),
        _ => Err(strange("input_tokens")),
    }
}

/// A number that is none below zero.
fn counted<N, U: TryFrom<N>>(column: &'static str, number: N) -> Result<U, SqlError> {
    U::try_from(number).map_err(|_| strange(column))
}

fn strange(column: &'static str) -> SqlError {
    SqlError::Decode(format!("the column {column} has a value that is none of ours").into())
}
