use std::{
    collections::HashSet,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use sqlx::{Connection as _, PgConnection};
use tokio::task::spawn_blocking;

use super::{
    arrived::{self, ArrivedFile},
    failed,
    pool::{Pool, answered},
    posting,
    rows::{self, millis, text},
};
use crate::{
    catalog::Money,
    error::{Error, ErrorKind},
    store::{Chain, Entry, LedgerSink, StoreFuture, ledger::quarters},
};

/// The most rows of one transaction.
const BATCH: usize = 1_000;

const DAY_MS: i64 = 86_400_000;

/// The ledger of a database, as the sink of one journal. What rows cost is moved from the leases that held it to the budgets that it belongs to, in the
/// transaction that inserts them and for those rows alone that were new.
#[derive(Clone)]
pub struct PostgresLedger {
    pool: Arc<Pool>,
    /// The journal that it is the sink of, and the holder whose leases pay for its rows.
    name: Arc<str>,
    /// What is known here of how far the journal has arrived.
    arrived: Option<Arc<ArrivedFile>>,
    /// The days whose month has its table, as far as this process knows.
    made: Arc<Mutex<HashSet<i64>>>,
}

impl PostgresLedger {
    pub(super) fn new(pool: Arc<Pool>, name: Arc<str>) -> Self {
        Self {
            pool,
            name,
            arrived: None,
            made: Arc::default(),
        }
    }

    /// Writes down in `folder` how far the journal has arrived, so that it can be opened while the database is away.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the folder cannot be used.
    pub fn remembering(self, folder: &Path) -> Result<Self, Error> {
        let arrived = Some(Arc::new(ArrivedFile::open(folder)?));
        Ok(Self { arrived, ..self })
    }

    async fn write_batch(&self, entries: &[Entry]) -> Result<(), Error> {
        let failed = failed("the ledger cannot be written");
        let mut connection = self.pool.get_reserved().await?;
        let days: HashSet<i64> = entries.iter().map(day).collect();
        if !days.is_subset(&self.made()) {
            rows::make_months(&mut connection, entries)
                .await
                .map_err(&failed)?;
            self.made().extend(days);
        }
        let written = async {
            let mut transaction = connection.begin().await?;
            let table = self.arrived(&mut transaction).await?;
            let journal = table.0;
            let new = match self.check(&mut transaction, table, entries).await? {
                Ok(new) => new,
                Err(wrong) => return Ok(Err(wrong)),
            };
            let Some(last) = new.last() else {
                return Ok(Ok(()));
            };
            posting::no_births(&mut transaction).await?;
            let rows = rows::insert(&mut transaction, journal, new).await?;
            rows::add_spending(&mut transaction, &rows).await?;
            posting::post(&mut transaction, &self.name, &rows).await?;
            sqlx::query("UPDATE journals SET seq = $2, chain = $3 WHERE id = $1")
                .bind(journal)
                .bind(i64::try_from(last.seq).unwrap_or(i64::MAX))
                .bind(&last.chain[..])
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(Ok(()))
        };
        written.await.map_err(&failed)??;
        // Before the journal hears of it, and forgets the rows.
        match (&self.arrived, entries.last()) {
            (Some(arrived), Some(last)) => {
                let (arrived, seq, chain) = (Arc::clone(arrived), last.seq, last.chain);
                // It waits for the disk.
                let written = spawn_blocking(move || arrived.write(seq, &chain)).await;
                written.unwrap_or_else(|e| Err(Error::internal("the process ends").with_source(e)))
            }
            _ => Ok(()),
        }
    }

    /// Those of the entries that are not there yet, unless they do not go on where the table ends: they would be lost in silence, or
    /// stand beside others of their numbers.
    async fn check<'a>(
        &self,
        connection: &mut PgConnection,
        (journal, seq, chain): Arrived,
        entries: &'a [Entry],
    ) -> Result<Result<&'a [Entry], Error>, sqlx::Error> {
        let (seq, chain) = match arrived::told(&self.name, seq, chain.as_deref()) {
            Ok(last) => last.unwrap_or_default(),
            Err(damaged) => return Ok(Err(damaged)),
        };
        let (there, new) = entries.split_at(entries.partition_point(|e| e.seq <= seq));
        if let Some(entry) = there.last() {
            let written = match entry.seq == seq {
                true => Some(chain.to_vec()),
                // Of a month that was dropped nobody can tell.
                false => {
                    sqlx::query_scalar(
                        "SELECT chain FROM llm_calls WHERE journal = $1 AND seq = $2",
                    )
                    .bind(journal)
                    .bind(i64::try_from(entry.seq).unwrap_or(i64::MAX))
                    .fetch_optional(connection)
                    .await?
                }
            };
            if written.is_some_and(|written| written != entry.chain) {
                let came = format!("another row {} came", entry.seq);
                return Ok(Err(self.does_not_fit(seq, &came)));
            }
        }
        Ok(match new.first() {
            Some(entry) if entry.seq != seq + 1 => {
                Err(self.does_not_fit(seq, &format!("row {} came next", entry.seq)))
            }
            _ => Ok(new),
        })
    }

    fn does_not_fit(&self, seq: u64, came: &str) -> Error {
        Error::internal(format!(
            "the journal {} does not go on where the table journals ends: that is at row {seq}, and {came}. The database was restored \
             from an older copy, or another gateway runs with a copy of the journal's folder. Nothing was written, and the rows stay in \
             the journal; bring back the newest database, or restart, which ships again what the folder still has; or stop the other gateway \
             and give it a folder of its own",
            self.name
        ))
    }

    /// How far the journal has arrived. Locked: two writers of one journal come one after the other.
    async fn arrived(&self, connection: &mut PgConnection) -> Result<Arrived, sqlx::Error> {
        let find = "SELECT id, seq, chain FROM journals WHERE name = $1 FOR UPDATE";
        let found = sqlx::query_as(find).bind(&*self.name);
        if let Some(found) = found.fetch_optional(&mut *connection).await? {
            return Ok(found);
        }
        sqlx::query("INSERT INTO journals (name) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(&*self.name)
            .execute(&mut *connection)
            .await?;
        let found = sqlx::query_as(find).bind(&*self.name);
        found.fetch_one(connection).await
    }

    fn made(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the table of journals says of one: its number, its last row, and the chain up to it.
type Arrived = (i32, i64, Option<Vec<u8>>);

/// Which days make a month is the database's to know.
fn day(entry: &Entry) -> i64 {
    millis(entry.row.started) / DAY_MS
}

impl LedgerSink for PostgresLedger {
    fn write(&self, entries: Arc<[Entry]>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            for batch in entries.chunks(BATCH) {
                let written = answered(self.write_batch(batch)).await;
                if written.is_err() {
                    // A month may have been dropped by another process.
                    self.made().clear();
                }
                written?;
            }
            Ok(())
        })
    }

    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>> {
        let asked = answered(async move {
            let row: Option<(i64, Option<Vec<u8>>)> =
                sqlx::query_as("SELECT seq, chain FROM journals WHERE name = $1")
                    .bind(&*self.name)
                    .fetch_optional(&mut *self.pool.get().await?)
                    .await
                    .map_err(failed("the ledger cannot be read"))?;
            match row {
                Some((seq, chain)) => arrived::told(&self.name, seq, chain.as_deref()),
                None => Ok(None),
            }
        });
        Box::pin(async move {
            match (asked.await, &self.arrived) {
                // What arrived later than is known here is sent again, without effect.
                (Err(error), Some(arrived)) if error.kind() == ErrorKind::Unavailable => {
                    Ok(arrived.last())
                }
                (last, _) => last,
            }
        })
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        Box::pin(answered(spent(&self.pool, account, since, until)))
    }
}

/// The sum of what `account` paid for attempts that began at `since` or later, and before `until`.
async fn spent(
    pool: &Pool,
    account: &str,
    since: SystemTime,
    until: Option<SystemTime>,
) -> Result<Money, Error> {
    let quarters = quarters(since, until);
    let nanos: i64 = sqlx::query_scalar(
        "SELECT COALESCE(SUM(cost_nanos), 0)::BIGINT FROM spending WHERE account = $1 AND quarter >= $2 AND quarter < $3",
    )
    .bind(&*text(account))
    .bind(quarters.start)
    .bind(quarters.end)
    .fetch_one(&mut *pool.get().await?)
    .await
    .map_err(failed("the ledger cannot be read"))?;
    Ok(Money::from_nanos(nanos))
}

impl fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLedger")
            .field("journal", &self.name)
            .finish_non_exhaustive()
    }
}
