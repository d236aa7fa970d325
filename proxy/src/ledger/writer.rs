use std::sync::Arc;

use rungs::{
    Error,
    store::{AuditLog, AuditRow},
};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Writes the audit of a gateway.
#[derive(Clone)]
pub(crate) struct AuditWriter {
    log: Arc<dyn AuditLog>,
    behind: TaskTracker,
}

impl AuditWriter {
    pub(crate) fn new(log: Arc<dyn AuditLog>) -> Self {
        Self {
            log,
            behind: TaskTracker::new(),
        }
    }

    /// Writes a row; its number. That one is missing is in the log, whatever becomes of the error.
    ///
    /// # Errors
    /// If it cannot be written now.
    pub(crate) async fn write(&self, row: &AuditRow) -> Result<u64, Error> {
        let written = self.log.append(row).await;
        written.inspect_err(|error| {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let (tool, event) = (&*row.tool, row.event.as_str());
            tracing::error!(%error, cause, tool, event, "an audit row is missing");
        })
    }

    /// Writes a row for which nobody waits.
    pub(crate) fn write_behind(&self, row: AuditRow) {
        let writer = self.clone();
        // Without a runtime the process is at its end.
        if let Ok(runtime) = Handle::try_current() {
            let write = async move { drop(writer.write(&row).await) };
            self.behind.spawn_on(write, &runtime);
        }
    }

    /// Returns once everything is written.
    pub(crate) async fn close(&self) {
        self.behind.close();
        self.behind.wait().await;
    }
}
