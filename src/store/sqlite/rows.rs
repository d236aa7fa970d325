//! Rows on their way into the file.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use rusqlite::{
    Connection, Error as SqlError, Result, Statement, ToSql, TransactionBehavior,
    types::ToSqlOutput,
};

use crate::{
    catalog::Money,
    store::{
        Entry, LedgerRow,
        fail_point::fail_point,
        ledger::quarter,
        plain::{millis, text},
        sql::columns::{clamp, unsigned},
    },
};

const INSERT: &str = "INSERT INTO llm_calls (seq, chain, request_id, attempt, started_ms, tenant, accounts, key_id, user_id, \
    conversation_id, op, deployment, tier, status, input_tokens, cache_read_tokens, cache_write_5m_tokens, \
    cache_write_1h_tokens, output_tokens, reasoning_tokens, cost_nanos, cost_source, price_version, clamped, first_frame_ms, \
    total_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const SPEND: &str = "INSERT INTO spending (account, quarter, cost_nanos) VALUES (?, ?, ?) \
    ON CONFLICT DO UPDATE SET cost_nanos = cost_nanos + excluded.cost_nanos";

/// Inserts the rows that are not there yet, and adds what they cost to what their accounts have spent: all of it, or nothing.
pub(super) fn append(connection: &mut Connection, entries: &[Entry]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let last: Option<i64> = transaction
        .prepare_cached("SELECT MAX(seq) FROM llm_calls")?
        .query_row((), |row| row.get(0))?;
    let last = last.map_or(0, unsigned);
    // After an error at commit they may be there already.
    let new = entries.partition_point(|entry| entry.seq <= last);
    insert(&transaction, &entries[new..])?;
    spend(&transaction, &entries[new..])?;
    let _ = fail_point("sqlite.before_commit");
    transaction.commit()?;
    let _ = fail_point("sqlite.after_commit");
    Ok(())
}

fn insert(connection: &Connection, entries: &[Entry]) -> Result<()> {
    let mut statement = connection.prepare_cached(INSERT)?;
    let mut before = None;
    for Entry { seq, chain, row } in entries {
        let mut values = Values {
            statement: &mut statement,
            bound: 0,
            before,
            row,
        };
        let seq = i64::try_from(*seq).map_err(|e| SqlError::ToSqlConversionFailure(e.into()))?;
        values.bind(seq)?;
        values.bind(chain)?;
        values.bind_row()?;
        statement.raw_execute()?;
        before = Some(row);
    }
    Ok(())
}

/// What is bound for a row, in the order of [`INSERT`]. What is not bound anew stays as it was for the row before.
struct Values<'a, 'c> {
    statement: &'a mut Statement<'c>,
    bound: usize,
    before: Option<&'a LedgerRow>,
    row: &'a LedgerRow,
}

impl<'a> Values<'a, '_> {
    fn bind_row(&mut self) -> Result<()> {
        self.bind(&self.row.request)?;
        self.column(|row| row.attempt)?;
        self.column(|row| millis(row.started))?;
        self.column(|row| &row.tenant)?;
        self.column(|row| Names(&row.accounts))?;
        self.column(|row| &row.key)?;
        self.column(|row| &row.user)?;
        self.column(|row| &row.conversation)?;
        self.column(|row| row.op.as_str())?;
        self.column(|row| row.deployment.as_str())?;
        self.column(|row| row.tier.level())?;
        self.column(|row| row.status.as_str())?;
        for bucket in 0..6 {
            self.column(|row| {
                let tokens = row.usage.map(|usage| usage.buckets()[bucket]);
                tokens.map(clamp)
            })?;
        }
        self.column(|row| row.cost.nanos())?;
        self.column(|row| row.source.as_str())?;
        self.column(|row| &row.price_version)?;
        self.column(|row| row.clamped)?;
        self.column(|row| row.first_frame_ms)?;
        self.column(|row| row.total_ms)
    }

    /// Binds what may be the same in many rows.
    fn column<T: ToSql + PartialEq>(&mut self, of: impl Fn(&'a LedgerRow) -> T) -> Result<()> {
        let value = of(self.row);
        if self.before.is_some_and(|before| of(before) == value) {
            self.bound += 1;
            return Ok(());
        }
        self.bind(value)
    }

    fn bind(&mut self, value: impl ToSql) -> Result<()> {
        self.bound += 1;
        self.statement.raw_bind_parameter(self.bound, value)
    }
}

/// A JSON array.
#[derive(PartialEq)]
struct Names<'a>(&'a Arc<[Arc<str>]>);

impl ToSql for Names<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let json = serde_json::to_string(self.0);
        let json = json.map_err(|e| SqlError::ToSqlConversionFailure(e.into()))?;
        Ok(ToSqlOutput::from(json))
    }
}

fn spend(connection: &Connection, entries: &[Entry]) -> Result<()> {
    let mut statement = connection.prepare_cached(SPEND)?;
    for ((account, quarter), cost) in spending(entries) {
        statement.execute((account, quarter, cost.nanos()))?;
    }
    Ok(())
}

/// What each account has spent in each quarter of an hour.
fn spending(entries: &[Entry]) -> BTreeMap<(Cow<'_, str>, i64), Money> {
    let mut spending = BTreeMap::new();
    let alike = entries.chunk_by(|Entry { row: a, .. }, Entry { row: b, .. }| {
        a.accounts == b.accounts && quarter(a.started) == quarter(b.started)
    });
    for alike in alike {
        let row = &alike[0].row;
        let cost: Money = alike.iter().map(|entry| entry.row.cost).sum();
        if cost.is_zero() {
            continue;
        }
        for account in row.accounts.iter() {
            let spent: &mut Money = spending
                .entry((text(account), quarter(row.started)))
                .or_default();
            *spent += cost;
        }
    }
    spending
}
