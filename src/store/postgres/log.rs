use std::{collections::HashMap, fmt, sync::Arc, time::SystemTime};

use sqlx::{Connection as _, PgConnection};

use super::{
    arrived, failed,
    pool::{Pool, answered},
    rows::millis,
};
use crate::{
    error::Error,
    store::{
        Chain, Entry, Extent, Gone, JournalHead, LedgerLog, Pruned, StoreFuture, Window,
        sql::{
            columns::{Columns, clamp, unsigned},
            entries,
        },
    },
};

/// The ledger of a database, with the rows of all journals that arrive there.
#[derive(Clone)]
pub struct PostgresLog {
    pool: Arc<Pool>,
}

/// A journal, and its number in the database.
struct Known {
    id: i32,
    head: JournalHead,
}

impl PostgresLog {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    async fn prune_months(&self, before: SystemTime, key: &[u8; 32]) -> Result<u32, Error> {
        let failed = failed("the ledger cannot be pruned");
        let cut = cut(before);
        let mut connection = self.pool.get().await?;
        let mut transaction = connection.begin().await.map_err(&failed)?;
        if !has_older(&mut transaction, cut).await.map_err(&failed)? {
            return Ok(0);
        }
        // Locked: no row arrives while it is written down which ones go.
        for journal in journals(&mut transaction, true).await? {
            let excused = excuse(&mut transaction, &journal, cut, key).await;
            excused.map_err(&failed)?;
        }
        let months: i32 = sqlx::query_scalar("SELECT llm_calls_prune($1)")
            .bind(cut)
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(u32::try_from(months).unwrap_or(0))
    }
}

impl LedgerLog for PostgresLog {
    fn journals(&self) -> StoreFuture<'_, Vec<JournalHead>> {
        Box::pin(answered(async move {
            let mut connection = self.pool.get().await?;
            let known = journals(&mut connection, false).await?;
            Ok(known.into_iter().map(|known| known.head).collect())
        }))
    }

    fn read<'a>(
        &'a self,
        journal: &'a str,
        after: u64,
        since: SystemTime,
        most: u32,
    ) -> StoreFuture<'a, Vec<Entry>> {
        Box::pin(answered(async move {
            // All rows of the last number: one that was added beside it would stand where no page begins.
            let rows = sqlx::query(
                "SELECT seq, chain, request_id, attempt, tenant, accounts, key_id, user_id, conversation_id, op, deployment, tier, \
                 status, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, \
                 reasoning_tokens, cost_nanos, cost_source, price_version, clamped, started_ms, first_frame_ms, total_ms \
                 FROM llm_calls WHERE journal = (SELECT id FROM journals WHERE name = $1) \
                 AND seq > $2 AND started_ms >= $3 ORDER BY seq FETCH FIRST $4 ROWS WITH TIES",
            )
            .bind(journal)
            .bind(clamp(after))
            .bind(millis(since))
            .bind(i64::from(most))
            .fetch_all(&mut *self.pool.get().await?)
            .await
            .map_err(failed("the ledger cannot be read"))?;
            rows.iter().map(entries::read).collect()
        }))
    }

    fn last_to_go<'a>(
        &'a self,
        journal: &'a str,
        before: SystemTime,
    ) -> StoreFuture<'a, Option<u64>> {
        Box::pin(answered(async move {
            let last: Option<i64> = sqlx::query_scalar(
                "SELECT MAX(seq) FROM llm_calls WHERE journal = (SELECT id FROM journals WHERE name = $1) \
                 AND started_ms < $2",
            )
            .bind(journal)
            .bind(cut(before))
            .fetch_one(&mut *self.pool.get().await?)
            .await
            .map_err(failed("the ledger cannot be read"))?;
            Ok(last.map(unsigned))
        }))
    }

    /// Takes whole months that ended at `before` or earlier: a table each, in milliseconds.
    fn prune<'a>(&'a self, before: SystemTime, seal: &'a [u8; 32]) -> StoreFuture<'a, Pruned> {
        Box::pin(answered(async move {
            let months = self.prune_months(before, seal).await;
            months.map(Pruned::Months)
        }))
    }
}

/// Rows that began before it go when those before `before` shall: whole months.
fn cut(before: SystemTime) -> i64 {
    millis(Window::MONTH.start(before))
}

/// Whether there is a row that began before `cut`, or a table for one.
async fn has_older(connection: &mut PgConnection, cut: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'llm_calls'::regclass \
         AND to_date(right(c.relname, 7), 'YYYY_MM') < to_timestamp($1 / 1000) AT TIME ZONE 'UTC')",
    )
    .bind(cut)
    .fetch_one(connection)
    .await
}

/// All journals, with what is known to be gone of each; locked until the transaction ends if they are to be written.
async fn journals(connection: &mut PgConnection, lock: bool) -> Result<Vec<Known>, Error> {
    let failed = failed("the ledger cannot be read");
    let gone = sqlx::query("SELECT journal, seq, alone, chain, seal FROM pruned ORDER BY seq");
    let mut by_journal: HashMap<i32, Vec<Gone>> = HashMap::new();
    let journals = match lock {
        true => "SELECT id, name, seq, chain FROM journals ORDER BY id FOR UPDATE",
        false => "SELECT id, name, seq, chain FROM journals ORDER BY id",
    };
    let journals = sqlx::query(journals).fetch_all(&mut *connection).await;
    let journals = journals.map_err(&failed)?;
    for row in gone.fetch_all(connection).await.map_err(&failed)? {
        let (journal, gone) = gone_of(&row).map_err(&failed)?;
        by_journal.entry(journal).or_default().push(gone);
    }
    let known = journals.iter().map(|row| {
        let read = || {
            Ok((
                row.int("id")?,
                row.text("name")?,
                row.big("seq")?,
                row.maybe_bytes("chain")?,
            ))
        };
        let (id, name, seq, chain) = read().map_err(&failed)?;
        Ok(Known {
            id,
            head: JournalHead {
                name: name.into(),
                last: arrived::told(name, seq, chain)?,
                gone: by_journal.remove(&id).unwrap_or_default(),
            },
        })
    });
    known.collect()
}

/// A record, and the number of its journal.
fn gone_of(row: &impl Columns) -> Result<(i32, Gone), sqlx::Error> {
    let gone = Gone {
        seq: row.count("seq")?,
        extent: match row.flag("alone")? {
            true => Extent::Alone,
            false => Extent::UpTo,
        },
        chain: row.chain("chain")?,
        seal: row.chain("seal")?,
    };
    Ok((row.int("journal")?, gone))
}

/// Writes down which rows of a journal go when those do that began before `cut`: all up to some number, and single ones behind it,
/// because attempts do not end in the order in which they begin.
async fn excuse(
    connection: &mut PgConnection,
    journal: &Known,
    cut: i64,
    key: &[u8; 32],
) -> Result<(), sqlx::Error> {
    let Known { id, head } = journal;
    let Some((last, _)) = head.last else {
        return Ok(());
    };
    let first_kept: Option<i64> = sqlx::query_scalar(
        "SELECT seq FROM llm_calls WHERE journal = $1 AND started_ms >= $2 ORDER BY seq LIMIT 1",
    )
    .bind(id)
    .bind(cut)
    .fetch_optional(&mut *connection)
    .await?;
    let first_kept = first_kept.map_or(last + 1, unsigned);
    let rows = sqlx::query(
        "SELECT seq, chain FROM llm_calls WHERE journal = $1 AND started_ms < $2 AND seq >= $3 ORDER BY seq",
    )
    .bind(id)
    .bind(cut)
    .bind(clamp(first_kept) - 1)
    .fetch_all(&mut *connection)
    .await?;
    let mut going: Vec<(u64, Chain)> = Vec::new();
    // One that is gone already, and is not forged, may now be the last of those at the beginning.
    let genuine = head
        .gone
        .iter()
        .filter(|gone| gone.is_genuine(key, &head.name));
    going.extend(genuine.map(|gone| (gone.seq, gone.chain)));
    // Where nothing goes from the beginning, single rows go behind it all the same.
    going.push((0, Chain::default()));
    for row in &rows {
        going.push((row.count("seq")?, row.chain("chain")?));
    }
    going.retain(|(seq, _)| *seq + 1 >= first_kept);
    let records = going.into_iter().map(|(seq, chain)| {
        let extent = match seq + 1 == first_kept {
            true => Extent::UpTo,
            false => Extent::Alone,
        };
        Gone::sealed(key, &head.name, extent, seq, chain)
    });
    // Without the row before the first that is kept nothing tells where the chain goes on: what is known stays, and it is missed.
    let records: Vec<_> = records.collect();
    if !records.iter().any(|gone| gone.extent == Extent::UpTo) {
        return Ok(());
    }
    sqlx::query("DELETE FROM pruned WHERE journal = $1")
        .bind(id)
        .execute(&mut *connection)
        .await?;
    for gone in records {
        sqlx::query(
            "INSERT INTO pruned (journal, seq, alone, chain, seal) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(clamp(gone.seq))
        .bind(gone.extent == Extent::Alone)
        .bind(&gone.chain[..])
        .bind(&gone.seal[..])
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

impl fmt::Debug for PostgresLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLog").finish_non_exhaustive()
    }
}
