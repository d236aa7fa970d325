//! What goes when it is too old.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rungs::{layers::conversation::Conversations, store::LedgerLog};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::ledger;

/// How often it is looked for what is too old.
const HOUR: Duration = Duration::from_secs(3_600);

/// A task of a gateway that lets what is too old go once an hour.
pub(crate) struct Retention {
    keep: watch::Sender<Option<Duration>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Retention {
    /// That of a ledger, whose rows are sealed with `seal`. To be called on a runtime.
    pub(crate) fn of_rows(log: Arc<dyn LedgerLog>, seal: [u8; 32]) -> Self {
        Self::start(move |before| rows(Arc::clone(&log), seal, before))
    }

    /// That of conversations. To be called on a runtime.
    pub(crate) fn of_conversations(conversations: Conversations) -> Self {
        Self::start(move |before| idle(conversations.clone(), before))
    }

    /// Starts the task: `forget` lets go what is older than it is told.
    fn start<F: Future<Output = ()> + Send + 'static>(
        forget: impl Fn(SystemTime) -> F + Send + 'static,
    ) -> Self {
        let (keep, kept) = watch::channel(None);
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with stop(), or when this is dropped"
        )]
        let task = tokio::spawn(run(forget, kept));
        Self {
            keep,
            task: Mutex::new(Some(task)),
        }
    }

    /// Keeps all so long from now on; for ever if it is not said. What is too old goes at once.
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

async fn run<F: Future<Output = ()>>(
    forget: impl Fn(SystemTime) -> F,
    mut keep: watch::Receiver<Option<Duration>>,
) {
    loop {
        let kept = *keep.borrow_and_update();
        let before = |kept| SystemTime::now().checked_sub(kept).unwrap_or(UNIX_EPOCH);
        let forgetting = kept.map(|kept| forget(before(kept)));
        let round = async {
            if let Some(forgetting) = forgetting {
                forgetting.await;
            }
            sleep(HOUR).await;
        };
        tokio::select! {
            () = round => {}
            // Also amid a round, which may go on for hours: what it is at is rolled back.
            changed = keep.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

async fn rows(log: Arc<dyn LedgerLog>, seal: [u8; 32], before: SystemTime) {
    match ledger::prune(&*log, before, &seal).await {
        Ok(outcome) => outcome.log(),
        Err(error) => {
            tracing::warn!(%error, "old ledger rows stay for now; it is tried again in an hour");
        }
    }
}

async fn idle(conversations: Conversations, before: SystemTime) {
    match conversations.forget_idle(before).await {
        Ok(0) => {}
        Ok(conversations) => tracing::info!(conversations, "idle conversations are forgotten"),
        Err(error) => {
            tracing::warn!(%error, "idle conversations stay for now; it is tried again in an hour");
        }
    }
}
