use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rungs::store::{LedgerLog, Pruned};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{Outcome, prune};

/// How often it is looked for old rows.
const HOUR: Duration = Duration::from_secs(3_600);

/// The task of a gateway that lets old rows go once an hour.
pub(crate) struct Retention {
    keep: watch::Sender<Option<Duration>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Retention {
    /// Starts the task; rows are sealed with `seal`. To be called on a runtime.
    pub(crate) fn start(log: Arc<dyn LedgerLog>, seal: [u8; 32]) -> Self {
        let (keep, kept) = watch::channel(None);
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with stop(), or when this is dropped"
        )]
        let task = tokio::spawn(run(log, seal, kept));
        Self {
            keep,
            task: Mutex::new(Some(task)),
        }
    }

    /// Keeps rows so long from now on; for ever if it is not said. What is too old goes at once.
    pub(crate) fn keep(&self, keep: Option<Duration>) {
        self.keep.send_if_modified(|old| {
            let changed = *old != keep;
            *old = keep;
            changed
        });
    }

    /// Ends the task. What it was at is rolled back, and done by the next process.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock();
        let task = task.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }
}

async fn run(log: Arc<dyn LedgerLog>, seal: [u8; 32], mut keep: watch::Receiver<Option<Duration>>) {
    loop {
        let kept = *keep.borrow_and_update();
        if let Some(kept) = kept {
            let before = SystemTime::now().checked_sub(kept).unwrap_or(UNIX_EPOCH);
            match prune(&*log, before, &seal).await {
                Ok(outcome) => outcome.log(),
                Err(error) => {
                    tracing::warn!(%error, "old ledger rows stay for now; it is tried again in an hour");
                }
            }
        }
        tokio::select! {
            () = sleep(HOUR) => {}
            changed = keep.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

impl Outcome {
    fn log(&self) {
        for finding in &self.findings {
            tracing::error!(
                finding,
                "a ledger row that went for its age was not as it was written"
            );
        }
        match self.pruned {
            Pruned::Rows(0) | Pruned::Months(0) => {}
            Pruned::Rows(rows) => tracing::info!(rows, "old ledger rows are gone"),
            Pruned::Months(months) => tracing::info!(months, "old ledger rows are gone"),
        }
    }
}
