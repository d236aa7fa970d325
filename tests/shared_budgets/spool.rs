use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use rungs::{
    catalog::Money,
    store::{
        CostSource, Ledger, LedgerRow, LedgerSink, Spent, StoreFuture, postgres::PostgresLedger,
    },
    testing::store_contract::row,
};
use serde::{Deserialize, Serialize};

/// A journal of the simplest kind: a line per row, written before anything is settled, and shipped from the beginning at each start.
pub(crate) struct Spool {
    file: File,
    rows: Mutex<Vec<LedgerRow>>,
    /// Wrong, for a control: what was cut costs nothing.
    forgives: bool,
}

#[derive(Serialize, Deserialize)]
struct Line {
    request: String,
    attempt: u32,
    cost: i64,
    started_ms: u64,
    accounts: Vec<String>,
}

impl Spool {
    pub(crate) fn open(folder: &Path, forgives: bool) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let path = folder.join("spool");
        let text = fs::read_to_string(&path).unwrap_or_default();
        // A line that a kill cut short was never settled.
        let rows = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let file = File::options().append(true).create(true).open(path);
        Self {
            file: file.expect("a spool"),
            rows: Mutex::new(rows.map(Line::into_row).collect()),
            forgives,
        }
    }

    /// Writes all rows to the ledger, trying until that is done.
    pub(crate) async fn ship(&self, ledger: &PostgresLedger) {
        loop {
            let rows = std::mem::take(&mut *self.rows.lock().expect("no panic"));
            if rows.is_empty() {
                return;
            }
            while ledger.write(&rows).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Ledger for Spool {
    fn record(&self, mut row: LedgerRow) {
        if self.forgives && row.source == CostSource::Unknown {
            row.cost = Money::ZERO;
        }
        let line = Line {
            request: row.request.to_string(),
            attempt: row.attempt,
            cost: row.cost.nanos(),
            started_ms: u64::try_from(
                row.started
                    .duration_since(UNIX_EPOCH)
                    .expect("now")
                    .as_millis(),
            )
            .expect("now"),
            accounts: row.accounts.iter().map(|a| a.to_string()).collect(),
        };
        let line = serde_json::to_string(&line).expect("JSON") + "\n";
        (&self.file).write_all(line.as_bytes()).expect("a spool");
        self.rows.lock().expect("no panic").push(row);
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn spent<'a>(&'a self, _: Spent<'a>, _: std::time::SystemTime) -> StoreFuture<'a, Money> {
        Box::pin(async { Ok(Money::ZERO) })
    }
}

impl Line {
    fn into_row(self) -> LedgerRow {
        LedgerRow {
            key: Some("k".into()),
            accounts: self.accounts.into_iter().map(Arc::from).collect(),
            started: UNIX_EPOCH + Duration::from_millis(self.started_ms),
            ..row(&self.request, self.attempt, self.cost, Duration::ZERO)
        }
    }
}
