use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
    time::SystemTime,
};

use sqlx::PgConnection;

pub(super) use crate::store::plain::{millis, text, time};
use crate::store::{Entry, LedgerRow, ledger::quarter};

/// The columns of many rows: one statement takes them all, whatever their number.
#[derive(Default)]
struct Columns<'a> {
    seq: Vec<i64>,
    chain: Vec<&'a [u8]>,
    accounts: Vec<String>,
    request: Vec<Cow<'a, str>>,
    attempt: Vec<i32>,
    started: Vec<i64>,
    tenant: Vec<Cow<'a, str>>,
    key: Vec<Option<Cow<'a, str>>>,
    user: Vec<Option<Cow<'a, str>>>,
    conversation: Vec<Option<Cow<'a, str>>>,
    op: Vec<&'a str>,
    deployment: Vec<&'a str>,
    tier: Vec<i16>,
    status: Vec<&'a str>,
    tokens: [Vec<Option<i64>>; 6],
    cost: Vec<i64>,
    source: Vec<&'a str>,
    price_version: Vec<Option<Cow<'a, str>>>,
    clamped: Vec<bool>,
    first_frame: Vec<Option<i32>>,
    total: Vec<i32>,
}

/// Inserts the entries of a journal that are not there yet, and says which those were.
pub(super) async fn insert<'a>(
    connection: &mut PgConnection,
    journal: i32,
    entries: &'a [Entry],
) -> Result<Vec<&'a LedgerRow>, sqlx::Error> {
    let mut columns = Columns::default();
    for entry in entries {
        columns.push(entry);
    }
    let inserted = columns.insert(connection, journal).await?;
    let mut new: HashSet<i64> = inserted.into_iter().collect();
    // Taken out, so that an entry that is here twice is new once.
    let new = entries.iter().filter(|entry| new.remove(&seq(entry)));
    Ok(new.map(|entry| &entry.row).collect())
}

/// Adds what rows cost to what their accounts have spent.
pub(super) async fn add_spending(
    connection: &mut PgConnection,
    rows: &[&LedgerRow],
) -> Result<(), sqlx::Error> {
    let mut spending: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.cost.is_zero()) {
        for account in &*row.accounts {
            let key = (text(account).into_owned(), quarter(row.started));
            *spending.entry(key).or_default() += row.cost.nanos();
        }
    }
    if spending.is_empty() {
        return Ok(());
    }
    let (keys, costs): (Vec<_>, Vec<_>) = spending.into_iter().unzip();
    let (accounts, quarters): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    // All in one order, so that no two wait for each other.
    sqlx::query(
        "INSERT INTO spending (account, quarter, cost_nanos) \
         SELECT * FROM unnest($1::TEXT[], $2::BIGINT[], $3::BIGINT[]) AS new (account, quarter, cost) \
         ORDER BY account, quarter \
         ON CONFLICT (account, quarter) DO UPDATE SET cost_nanos = spending.cost_nanos + excluded.cost_nanos",
    )
    .bind(accounts)
    .bind(quarters)
    .bind(costs)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the tables of the months of these rows.
pub(super) async fn make_months(
    connection: &mut PgConnection,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    const DAY: i64 = 86_400_000;
    let days: BTreeSet<i64> = entries
        .iter()
        .map(|e| millis(e.row.started) / DAY)
        .collect();
    let moments: Vec<i64> = days.into_iter().map(|day| day * DAY).collect();
    sqlx::query("SELECT llm_calls_month(at) FROM unnest($1::BIGINT[]) AS at")
        .bind(moments)
        .execute(connection)
        .await?;
    Ok(())
}

fn seq(entry: &Entry) -> i64 {
    i64::try_from(entry.seq).unwrap_or(i64::MAX)
}

impl<'a> Columns<'a> {
    fn push(&mut self, entry: &'a Entry) {
        let row = &entry.row;
        self.seq.push(seq(entry));
        self.chain.push(&entry.chain);
        self.accounts.push(names(&row.accounts));
        self.request.push(text(&row.request));
        self.attempt.push(int(row.attempt));
        self.started.push(millis(row.started));
        self.tenant.push(text(&row.tenant));
        self.key.push(row.key.as_deref().map(text));
        self.user.push(row.user.as_deref().map(text));
        self.conversation
            .push(row.conversation.as_deref().map(text));
        self.op.push(row.op.as_str());
        self.deployment.push(row.deployment.as_str());
        self.tier.push(row.tier.level().into());
        self.status.push(row.status.as_str());
        let tokens = row.usage.map(|usage| usage.buckets());
        for (bucket, column) in self.tokens.iter_mut().enumerate() {
            column.push(tokens.map(|t| i64::try_from(t[bucket]).unwrap_or(i64::MAX)));
        }
        self.cost.push(row.cost.nanos());
        self.source.push(row.source.as_str());
        self.price_version
            .push(row.price_version.as_deref().map(text));
        self.clamped.push(row.clamped);
        self.first_frame.push(row.first_frame_ms.map(int));
        self.total.push(int(row.total_ms));
    }

    async fn insert(
        self,
        connection: &mut PgConnection,
        journal: i32,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let [input, read, write_5m, write_1h, output, reasoning] = self.tokens;
        sqlx::query_scalar(
            "INSERT INTO llm_calls (journal, request_id, attempt, started_ms, tenant, key_id, user_id, conversation_id, op, \
             deployment, tier, status, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, \
             output_tokens, reasoning_tokens, cost_nanos, cost_source, price_version, clamped, first_frame_ms, total_ms, seq, \
             chain, accounts) \
             SELECT $27, * FROM unnest($1::TEXT[], $2::INTEGER[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
             $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::SMALLINT[], $11::TEXT[], $12::BIGINT[], $13::BIGINT[], $14::BIGINT[], \
             $15::BIGINT[], $16::BIGINT[], $17::BIGINT[], $18::BIGINT[], $19::TEXT[], $20::TEXT[], $21::BOOLEAN[], \
             $22::INTEGER[], $23::INTEGER[], $24::BIGINT[], $25::BYTEA[], $26::TEXT[]) \
             ON CONFLICT DO NOTHING RETURNING seq",
        )
        .bind(self.request)
        .bind(self.attempt)
        .bind(self.started)
        .bind(self.tenant)
        .bind(self.key)
        .bind(self.user)
        .bind(self.conversation)
        .bind(self.op)
        .bind(self.deployment)
        .bind(self.tier)
        .bind(self.status)
        .bind(input)
        .bind(read)
        .bind(write_5m)
        .bind(write_1h)
        .bind(output)
        .bind(reasoning)
        .bind(self.cost)
        .bind(self.source)
        .bind(self.price_version)
        .bind(self.clamped)
        .bind(self.first_frame)
        .bind(self.total)
        .bind(self.seq)
        .bind(self.chain)
        .bind(self.accounts)
        .bind(journal)
        .fetch_all(connection)
        .await
    }
}

/// The end of a window, if it has one.
pub(super) fn end_millis(end: Option<SystemTime>) -> i64 {
    end.map_or(i64::MAX, millis)
}

/// Names as a JSON array.
pub(super) fn names(accounts: &[std::sync::Arc<str>]) -> String {
    serde_json::to_string(accounts).unwrap_or_default()
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
