use std::time::{Duration, Instant, SystemTime};

use sqlx::{Connection, SqliteConnection, SqlitePool};

use super::{failed, ledger, migrations, opening, options, pool};
use crate::{
    error::Error,
    store::{
        AuditLog, Entry, Extent, Gone, JournalHead, LedgerLog, Pruned, StoreFuture,
        plain::millis,
        sql::{
            audit::SqlAudit,
            columns::{Columns, clamp, unsigned},
            entries,
        },
    },
};

/// How long a batch of a prune may keep the file to itself.
const BATCH_TIME: Duration = Duration::from_millis(50);

/// And how long it is left to others after each.
const PAUSE: Duration = Duration::from_millis(20);

/// How many rows the first batch takes; those after it by how long it took.
const FIRST_BATCH: i64 = 200;
const LARGEST_BATCH: i64 = 10_000;

/// There is one journal in a file.
const NAME: &str = "";

/// The ledger of a database, to be read by a program beside the gateway that owns it.
#[derive(Debug, Clone)]
pub struct SqliteLog {
    pool: SqlitePool,
}

impl SqliteLog {
    /// Opens the ledger of the database at a URL like `sqlite:rungs.db`, whether or not a gateway runs on it. Brings its schema up to
    /// date, if no gateway does.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a URL that names no file, or none that is there;
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if others take too long to open it; [`ErrorKind::Internal`](crate::ErrorKind::Internal) if it cannot be opened, or has another schema: an older one that a gateway
    /// runs on, or one that this version does not know. The message says which and what to do.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let options = options(url)?.create_if_missing(false);
        let path = options.get_filename().to_path_buf();
        if !path.exists() {
            let path = path.display();
            return Err(Error::invalid(format!("there is no database {path}")));
        }
        opening::update(&options).await?;
        let log = Self::new(pool(options));
        migrations::check(&log.pool, &path).await?;
        Ok(log)
    }

    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// The audit beside it, chained with `key`.
    #[must_use]
    pub fn audit(&self, key: &[u8; 32]) -> impl AuditLog + use<> {
        SqlAudit::new(self.pool.clone(), *key)
    }

    async fn prune_all(&self, before: SystemTime, key: &[u8; 32]) -> Result<u64, Error> {
        let failed = failed("the ledger cannot be pruned");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        let (mut rows, mut most) = (0, FIRST_BATCH);
        loop {
            let began = Instant::now();
            let done = batch(&mut connection, before, key, most);
            let done = done.await.map_err(&failed)?;
            rows += done;
            if done < most.unsigned_abs() {
                return Ok(rows);
            }
            // Half the time that it may take: the next one may meet a slower disk.
            let share = BATCH_TIME.as_secs_f64() / 2.0 / began.elapsed().as_secs_f64().max(1e-6);
            #[expect(clippy::cast_possible_truncation, reason = "bounded by the clamp")]
            let next = (most as f64 * share.min(2.0)) as i64;
            most = next.clamp(1, LARGEST_BATCH);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl LedgerLog for SqliteLog {
    fn journals(&self) -> StoreFuture<'_, Vec<JournalHead>> {
        Box::pin(async move {
            let failed = failed("the ledger cannot be read");
            let gone = sqlx::query("SELECT seq, chain, seal FROM pruned ORDER BY seq");
            let gone = gone.fetch_all(&self.pool).await.map_err(&failed)?;
            let gone = gone.iter().map(|row| {
                Ok(Gone {
                    seq: row.count("seq")?,
                    extent: Extent::UpTo,
                    chain: row.chain("chain")?,
                    seal: row.chain("seal")?,
                })
            });
            let gone: Result<_, sqlx::Error> = gone.collect();
            Ok(vec![JournalHead {
                name: NAME.into(),
                // The newest row is all that tells of it.
                last: ledger::last(&self.pool).await?,
                gone: gone.map_err(&failed)?,
            }])
        })
    }

    fn read<'a>(
        &'a self,
        _: &'a str,
        after: u64,
        since: SystemTime,
        most: u32,
    ) -> StoreFuture<'a, Vec<Entry>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT * FROM llm_calls WHERE seq > ? AND started_ms >= ? ORDER BY seq LIMIT ?",
            )
            .bind(clamp(after))
            .bind(millis(since))
            .bind(most)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("the ledger cannot be read"))?;
            rows.iter().map(entries::read).collect()
        })
    }

    fn last_to_go<'a>(&'a self, _: &'a str, before: SystemTime) -> StoreFuture<'a, Option<u64>> {
        Box::pin(async move {
            let last: Option<i64> = sqlx::query_scalar(
                "SELECT MAX(seq) FROM llm_calls WHERE seq < COALESCE( \
                 (SELECT seq FROM llm_calls WHERE started_ms >= ? ORDER BY seq LIMIT 1), \
                 (SELECT MAX(seq) FROM llm_calls))",
            )
            .bind(millis(before))
            .fetch_one(&self.pool)
            .await
            .map_err(failed("the ledger cannot be read"))?;
            Ok(last.map(unsigned))
        })
    }

    /// Takes the oldest rows, up to the first that is not old enough, and never the newest of all: it says where the journal goes on.
    fn prune<'a>(&'a self, before: SystemTime, seal: &'a [u8; 32]) -> StoreFuture<'a, Pruned> {
        Box::pin(async move { self.prune_all(before, seal).await.map(Pruned::Rows) })
    }
}

/// Removes at most `most` rows in a transaction of its own; how many there were.
async fn batch(
    connection: &mut SqliteConnection,
    before: SystemTime,
    key: &[u8; 32],
    most: i64,
) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let old = sqlx::query(
        "SELECT seq, chain, started_ms FROM llm_calls WHERE seq < (SELECT MAX(seq) FROM llm_calls) \
         AND seq > (SELECT COALESCE(MAX(seq), 0) FROM pruned) ORDER BY seq LIMIT ?",
    );
    let old = old.bind(most).fetch_all(&mut *transaction).await?;
    let before = millis(before);
    let mut old = old
        .iter()
        .take_while(|row| row.big("started_ms").is_ok_and(|at| at < before));
    let mut count = 0;
    let last = old.by_ref().inspect(|_| count += 1).last();
    let Some(last) = last else {
        return Ok(0);
    };
    let seq = last.big("seq")?;
    let gone = Gone::sealed(key, NAME, Extent::UpTo, unsigned(seq), last.chain("chain")?);
    sqlx::query("DELETE FROM llm_calls WHERE seq <= ?")
        .bind(seq)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("DELETE FROM pruned")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO pruned (seq, chain, seal) VALUES (?, ?, ?)")
        .bind(seq)
        .bind(&gone.chain[..])
        .bind(&gone.seal[..])
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(count)
}
