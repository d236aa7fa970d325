use std::time::SystemTime;

use sqlx::Error as SqlError;
use tokio::sync::Mutex;

use super::{
    columns::{Columns, clamp, hash_of, unsigned},
    database::{Database, Session, statement},
};
use crate::{
    catalog::Money,
    error::Error,
    store::{
        AuditEntry, AuditEvent, AuditLog, AuditRow, Chain, RowStatus, StoreFuture,
        audit::next_chain,
        plain::{millis, text, time},
    },
};

const UNREADABLE: &str = "the audit cannot be read";
const UNWRITABLE: &str = "the audit cannot be written";

/// The audit of a database.
pub(in crate::store) struct SqlAudit<D> {
    database: D,
    key: [u8; 32],
    /// Who writes next: the database lets only one in at a time, and those of this process need not wait there, each with a connection.
    turn: Mutex<()>,
}

impl<D> SqlAudit<D> {
    pub(in crate::store) fn new(database: D, key: [u8; 32]) -> Self {
        Self {
            database,
            key,
            turn: Mutex::default(),
        }
    }
}

impl<D: Database> AuditLog for SqlAudit<D> {
    fn append<'a>(&'a self, row: &'a AuditRow) -> StoreFuture<'a, u64> {
        D::answered(async move {
            let _turn = self.turn.lock().await;
            let mut connection = self.database.connection().await?;
            let append = async {
                let mut transaction = connection.transaction(D::BEGIN).await?;
                let seq = append(&mut *transaction, &self.key, row).await?;
                transaction.commit().await?;
                Ok(seq)
            };
            append.await.map_err(D::failed(UNWRITABLE))
        })
    }

    fn read(&self, after: u64, since: SystemTime, most: u32) -> StoreFuture<'_, Vec<AuditEntry>> {
        Box::pin(async move {
            let newer = statement(
                "SELECT * FROM audit WHERE seq > $1 AND at_ms >= $2 ORDER BY seq LIMIT $3",
            )
            .bind(clamp(after))
            .bind(millis(since))
            .bind(i64::from(most));
            let rows = self.database.rows(newer, UNREADABLE).await?;
            rows.iter().map(entry).collect()
        })
    }

    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>> {
        Box::pin(async move {
            let last = statement("SELECT seq, chain FROM audit_end");
            let rows = self.database.rows(last, UNREADABLE).await?;
            let (seq, chain) = rows
                .first()
                .ok_or(SqlError::RowNotFound)
                .and_then(end)
                .map_err(D::failed(
                    "the record of the last audit row cannot be read, or was taken out",
                ))?;
            Ok((seq > 0).then_some((seq, chain)))
        })
    }
}

/// The number of the row. Other writers wait until the transaction ends: the row of the end is locked first.
async fn append(
    session: &mut impl Session,
    key: &[u8; 32],
    row: &AuditRow,
) -> Result<u64, SqlError> {
    let take = statement("UPDATE audit_end SET seq = seq + 1 RETURNING seq, chain");
    let taken = session.rows(take).await?;
    let (seq, before) = end(taken.first().ok_or(SqlError::RowNotFound)?)?;
    let chain = next_chain(key, &before, seq, row);
    let (why, allowed, outcome, cost) = match &row.event {
        AuditEvent::Allowed => (None, None, None, None),
        AuditEvent::Refused(why) => (Some(text(why)), None, None, None),
        AuditEvent::Ended {
            allowed,
            outcome,
            cost,
        } => (None, Some(*allowed), Some(outcome.as_str()), *cost),
    };
    let (tenant, tool, effect) = (text(&row.tenant), text(&row.tool), text(&row.effect));
    let [session_id, key_id, user_id] =
        [&row.session, &row.key, &row.user].map(|part| part.as_deref().map(text));
    let insert = statement(
        "INSERT INTO audit (seq, chain, at_ms, session_id, tenant, key_id, user_id, tool, effect, arguments, \
         event, why, allowed_seq, outcome, cost_nanos) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(clamp(seq))
    .bind(&chain[..])
    .bind(millis(row.at))
    .bind(session_id.as_deref())
    .bind(&*tenant)
    .bind(key_id.as_deref())
    .bind(user_id.as_deref())
    .bind(&*tool)
    .bind(&*effect)
    .bind(&row.arguments[..])
    .bind(row.event.as_str())
    .bind(why.as_deref())
    .bind(allowed.map(clamp))
    .bind(outcome)
    .bind(cost.map(Money::nanos));
    session.change(insert).await?;
    let ended = statement("UPDATE audit_end SET chain = $1").bind(&chain[..]);
    session.change(ended).await?;
    Ok(seq)
}

/// The end that a row of `audit_end` tells: zeros before the first row.
fn end(row: &impl Columns) -> Result<(u64, Chain), SqlError> {
    let chain = Chain::try_from(row.bytes("chain")?);
    Ok((
        row.count("seq")?,
        chain.map_err(|e| SqlError::Decode(e.into()))?,
    ))
}

/// The entry of a row of `audit`. One that cannot be read is named.
fn entry(row: &impl Columns) -> Result<AuditEntry, Error> {
    let seq = row
        .big("seq")
        .map_err(|e| Error::internal("the audit has a row without a number").with_source(e))?;
    let read = || {
        Ok(AuditEntry {
            seq: unsigned(seq),
            chain: row.chain("chain")?,
            row: audit_row(row)?,
        })
    };
    read().map_err(|e: SqlError| {
        Error::internal(format!("audit row {seq} cannot be read: it was altered")).with_source(e)
    })
}

fn audit_row(row: &impl Columns) -> Result<AuditRow, SqlError> {
    let shared = |column| Ok::<_, SqlError>(row.maybe_text(column)?.map(Into::into));
    Ok(AuditRow {
        at: time(row.big("at_ms")?),
        session: shared("session_id")?,
        tenant: row.text("tenant")?.into(),
        key: shared("key_id")?,
        user: shared("user_id")?,
        tool: row.text("tool")?.into(),
        effect: row.text("effect")?.into(),
        arguments: hash_of(row.bytes("arguments")?)?,
        event: event(row)?,
    })
}

/// What an event has, and none of what others have: else a value could be written where no chain looks.
fn event(row: &impl Columns) -> Result<AuditEvent, SqlError> {
    let name = row.text("event")?;
    let has = (
        row.maybe_text("why")?,
        row.maybe_big("allowed_seq")?,
        row.maybe_text("outcome")?.map(RowStatus::of_name),
        row.maybe_big("cost_nanos")?,
    );
    Ok(match (name, has) {
        ("allowed", (None, None, None, None)) => AuditEvent::Allowed,
        ("refused", (Some(why), None, None, None)) => AuditEvent::Refused(why.into()),
        ("ended", (None, Some(allowed), Some(Some(outcome)), cost)) => AuditEvent::Ended {
            allowed: unsigned(allowed),
            outcome,
            cost: cost.map(Money::from_nanos),
        },
        _ => return Err(SqlError::Decode("it is no event of an audit".into())),
    })
}
