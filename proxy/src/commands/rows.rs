//! The rows of the configured store, for the commands that read them.

use std::{
    io::{self, BufWriter, Write},
    ops::ControlFlow,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use rungs::store::{AuditLog, LedgerLog, postgres::PostgresStore, sqlite::SqliteLog};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::output::Output;
use crate::{
    auth::Pepper,
    config::{Config, StoreUrl},
    keys::Age,
    stores,
};

/// What gateways have written, also while they run.
pub(super) struct Rows {
    pub(super) ledger: Box<dyn LedgerLog>,
    pub(super) audit: Box<dyn AuditLog>,
    pub(super) pepper: Pepper,
    /// The folder of the journal, where the database does not say itself how far it has arrived.
    pub(super) journal: Option<PathBuf>,
}

impl Rows {
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        Ok(match &config.store.url {
            StoreUrl::Memory => bail!(
                "rows in memory end with their process; set `store.url` to a database such as sqlite:rungs.db"
            ),
            StoreUrl::Sqlite(path) => {
                let log = SqliteLog::open(&format!("sqlite:{}", path.display())).await?;
                let pepper = Pepper::beside(path)?;
                Self {
                    audit: Box::new(log.audit(pepper.seal())),
                    ledger: Box::new(log),
                    pepper,
                    journal: Some(stores::journal_beside(path)),
                }
            }
            StoreUrl::Postgres(url) => {
                let store = PostgresStore::new(url.expose(), 1)?;
                let pepper = stores::pepper(config)?;
                Self {
                    audit: Box::new(store.audit(pepper.seal())),
                    ledger: Box::new(store.log()),
                    pepper,
                    journal: None,
                }
            }
        })
    }
}

/// Rows on standard output, a line of JSON each.
pub(super) struct Lines(BufWriter<Output>);

impl Lines {
    pub(super) fn begin() -> Self {
        Self(BufWriter::new(Output::default()))
    }

    /// Writes a row, and says whether to go on: not where that failed, and not for nobody.
    pub(super) fn write(&mut self, row: &Value) -> ControlFlow<io::Result<()>> {
        let written = serde_json::to_writer(&mut self.0, row).map_err(io::Error::from);
        match written.and_then(|()| self.0.write_all(b"\n")) {
            Ok(()) if self.0.get_ref().is_closed() => ControlFlow::Break(Ok(())),
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    }

    pub(super) fn end(mut self) -> anyhow::Result<ExitCode> {
        self.0.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The time so long ago.
pub(super) fn ago(age: Age) -> SystemTime {
    SystemTime::now().checked_sub(age.0).unwrap_or(UNIX_EPOCH)
}

/// A time as people and programs read it.
pub(super) fn moment(time: SystemTime) -> Option<String> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let moment = OffsetDateTime::UNIX_EPOCH + since;
    moment.format(&Rfc3339).ok()
}
