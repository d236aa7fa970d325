use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::Notify, time::Instant};

/// Failures in a row after which nobody asks any more.
const FAILURES: u32 = 3;

/// Keeps calls from waiting for a server that does not answer. It says once that the server is away, and once that it is back.
///
/// Calls never try whether it is back: the store's task does.
pub(super) struct Breaker {
    open: AtomicBool,
    count: Mutex<Count>,
    opened: Notify,
    /// Whose failures they are, for the log.
    server: String,
}

#[derive(Default)]
struct Count {
    failures: u32,
    since: Option<Instant>,
}

impl Breaker {
    pub(super) fn closed(server: &impl fmt::Display) -> Self {
        metrics::gauge!("rungs_redis_up").set(1.0);
        Self {
            open: AtomicBool::new(false),
            count: Mutex::default(),
            opened: Notify::new(),
            server: server.to_string(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Returns once it is open.
    pub(super) async fn opened(&self) {
        while !self.is_open() {
            self.opened.notified().await;
        }
    }

    /// A call was answered.
    pub(super) fn succeeded(&self) {
        if !self.is_open() {
            self.count().failures = 0;
        }
    }

    /// A call was not; says whether that opened it.
    pub(super) fn failed(&self, why: &dyn fmt::Display) -> bool {
        metrics::counter!("rungs_redis_failures_total").increment(1);
        let mut count = self.count();
        count.failures += 1;
        count.failures >= FAILURES && self.open_for(&mut count, why)
    }

    /// Opens it at once; says whether it was closed.
    pub(super) fn open(&self, why: &dyn fmt::Display) -> bool {
        self.open_for(&mut self.count(), why)
    }

    fn open_for(&self, count: &mut Count, why: &dyn fmt::Display) -> bool {
        if self.open.swap(true, Ordering::AcqRel) {
            return false;
        }
        count.since = Some(Instant::now());
        metrics::gauge!("rungs_redis_up").set(0.0);
        tracing::warn!(
            redis = self.server,
            why = %why,
            "redis is away: no shared cache, rate limits and idempotency keys hold per process"
        );
        self.opened.notify_one();
        true
    }

    /// The server answers again.
    pub(super) fn close(&self) {
        let mut count = self.count();
        if self.open.swap(false, Ordering::AcqRel) {
            count.failures = 0;
            let away = count.since.take().map(|since| since.elapsed());
            metrics::gauge!("rungs_redis_up").set(1.0);
            tracing::info!(redis = self.server, away = ?away.unwrap_or_default(), "redis is back");
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
