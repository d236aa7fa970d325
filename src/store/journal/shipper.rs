//! The task that brings rows to the sink.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::shared::Shared;
use crate::{
    error::ErrorKind,
    store::{Entry, LedgerSink},
};

/// How long a row waits for company, so that many share a transaction.
const LINGER: Duration = Duration::from_millis(100);

/// Rows in a batch.
const BATCH: usize = 1_000;

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
const TRIES_AT_CLOSE: u32 = 6;

pub(super) fn start(shared: Arc<Shared>, sink: Arc<dyn LedgerSink>) {
    let task = Shipper {
        shared,
        sink,
        failing: None,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "close() waits for its end, and dropping the journal ends it"
    )]
    drop(tokio::spawn(task.run()));
}

struct Shipper {
    shared: Arc<Shared>,
    sink: Arc<dyn LedgerSink>,
    /// What was last wrong with the sink.
    failing: Option<ErrorKind>,
}

impl Shipper {
    async fn run(mut self) {
        loop {
            // The writer may have ended before the last look at what it left.
            let last_look = self.shared.stage.borrow().written;
            let shipped = self.ship_all().await;
            if last_look || (!shipped && self.shared.is_closing()) {
                break;
            }
            self.shared.cargo.notified().await;
            if !self.shared.is_closing() {
                // Ends at once if somebody waits for the rows.
                let _ = timeout(LINGER, self.shared.hurry.notified()).await;
            }
        }
        self.shared.stage.send_modify(|s| s.done = true);
    }

    /// Ships until less is left than makes a batch; that waits for company.
    async fn ship_all(&mut self) -> bool {
        loop {
            let batch = self.shared.load(BATCH);
            if batch.is_empty() {
                return true;
            }
            if !self.ship(batch).await {
                return false;
            }
            let left = self.shared.unload();
            if left < BATCH && !self.shared.is_closing() {
                if left > 0 {
                    self.shared.cargo.notify_one();
                }
                return true;
            }
        }
    }

    /// Tries until the batch is written; `false` if the journal is closing and it cannot be done.
    async fn ship(&mut self, batch: Arc<[Entry]>) -> bool {
        let mut backoff = FIRST_BACKOFF;
        let mut tries_left = TRIES_AT_CLOSE;
        while let Err(error) = self.sink.write(Arc::clone(&batch)).await {
            let backlog = self.shared.backlog();
            // A store that is away may come back with something else that is wrong.
            if self.failing.replace(error.kind()) != Some(error.kind()) {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, backlog, "the ledger's store cannot be written; its rows wait in the journal");
            }
            if self.shared.is_closing() {
                tries_left -= 1;
                if tries_left == 0 {
                    tracing::warn!(%error, backlog, "ledger rows stay in the journal; the next start ships them");
                    return false;
                }
                backoff = FIRST_BACKOFF;
            }
            let _ = timeout(backoff, self.shared.hurry.notified()).await;
            if self.shared.is_closing() {
                sleep(FIRST_BACKOFF).await;
            }
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
        if self.failing.take().is_some() {
            tracing::info!(
                backlog = self.shared.backlog(),
                "the ledger's store is written again"
            );
        }
        true
    }
}
