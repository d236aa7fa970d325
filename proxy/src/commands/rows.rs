//! The rows of the configured store, for the commands that read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use rungs::store::{AuditLog, LedgerLog, postgres::PostgresStore, sqlite::SqliteLog};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

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
}

impl Rows {
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        Ok(match &config.store.url {
            StoreUrl::Memory => bail!(
                "rows in memory end with their process; set `store.url` to a database such as sqlite:rungs.db"
            ),
            StoreUrl::Sqlite(path) => {
                let log = SqliteLog::open(&format!("sqlite:{}", path.display()))?;
                let pepper = Pepper::beside(path)?;
                Self {
                    audit: Box::new(log.audit(pepper.seal())),
                    ledger: Box::new(log),
                    pepper,
                }
            }
            StoreUrl::Postgres(url) => {
                let store = PostgresStore::new(url.expose(), 1)?;
                let pepper = stores::pepper(config)?;
                Self {
                    audit: Box::new(store.audit(pepper.seal())),
                    ledger: Box::new(store.log()),
                    pepper,
                }
            }
        })
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
