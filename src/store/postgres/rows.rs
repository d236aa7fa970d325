use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{PgConnection, Row};

use crate::store::LedgerRow;

/// A row by what makes it one: its request, attempt and start.
type Name = (String, i32, i64);

/// The columns of many rows: one statement takes them all, whatever their number.
#[derive(Default)]
struct Columns<'a> {
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

/// Inserts the rows that are not there yet, and says which those were.
pub(super) async fn insert<'a>(
    connection: &mut PgConnection,
    rows: &'a [LedgerRow],
) -> Result<Vec<&'a LedgerRow>, sqlx::Error> {
    let mut columns = Columns::default();
    for row in rows {
        columns.push(row);
    }
    let inserted = columns.insert(connection).await?;
    let mut new: HashSet<Name> = inserted.into_iter().collect();
    // Taken out, so that a row that is here twice is new once.
    Ok(rows.iter().filter(|row| new.remove(&name(row))).collect())
}

/// Makes the tables of the months of these rows.
pub(super) async fn make_months(
    connection: &mut PgConnection,
    rows: &[LedgerRow],
) -> Result<(), sqlx::Error> {
    const DAY: i64 = 86_400_000;
    let days: BTreeSet<i64> = rows.iter().map(|row| millis(row.started) / DAY).collect();
    let moments: Vec<i64> = days.into_iter().map(|day| day * DAY).collect();
    sqlx::query("SELECT llm_calls_month(at) FROM unnest($1::BIGINT[]) AS at")
        .bind(moments)
        .execute(connection)
        .await?;
    Ok(())
}

fn name(row: &LedgerRow) -> Name {
    (
        text(&row.request).into_owned(),
        int(row.attempt),
        millis(row.started),
    )
}

impl<'a> Columns<'a> {
    fn push(&mut self, row: &'a LedgerRow) {
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

    async fn insert(self, connection: &mut PgConnection) -> Result<Vec<Name>, sqlx::Error> {
        let [input, read, write_5m, write_1h, output, reasoning] = self.tokens;
        let inserted = sqlx::query(
            "INSERT INTO llm_calls (request_id, attempt, started_ms, tenant, key_id, user_id, conversation_id, op, deployment, \
             tier, status, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, \
             reasoning_tokens, cost_nanos, cost_source, price_version, clamped, first_frame_ms, total_ms) \
             SELECT * FROM unnest($1::TEXT[], $2::INTEGER[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[], \
             $8::TEXT[], $9::TEXT[], $10::SMALLINT[], $11::TEXT[], $12::BIGINT[], $13::BIGINT[], $14::BIGINT[], $15::BIGINT[], \
             $16::BIGINT[], $17::BIGINT[], $18::BIGINT[], $19::TEXT[], $20::TEXT[], $21::BOOLEAN[], $22::INTEGER[], \
             $23::INTEGER[]) \
             ON CONFLICT DO NOTHING RETURNING request_id, attempt, started_ms",
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
        .fetch_all(connection)
        .await?;
        inserted
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect()
    }
}

/// PostgreSQL's text holds every character but one; a client that sends it must not stop the ledger.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Milliseconds since 1970; times that do not fit become the nearest that do.
pub(super) fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

pub(super) fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
