use std::{fmt, future::Future, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use crate::model::ModelBody;

/// The answers that are being read for nobody. Clones share the count.
#[derive(Clone)]
pub struct Drains {
    places: Arc<Semaphore>,
    max: u32,
    time: Duration,
}

impl Drains {
    /// At most `max` at once, each for at most `time`.
    #[must_use]
    pub fn new(max: u32, time: Duration) -> Self {
        let places = Arc::new(Semaphore::new(
            usize::try_from(max).unwrap_or(Semaphore::MAX_PERMITS),
        ));
        Self { places, max, time }
    }

    /// The same places, where each is held for at most `time`.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// How many there are now.
    #[must_use]
    pub fn running(&self) -> usize {
        usize::try_from(self.max).unwrap_or(usize::MAX) - self.places.available_permits()
    }

    /// Returns once there is none: a process that ends waits for this, then for its ledger.
    pub async fn finish(&self) {
        // The semaphore is never closed, so this fails never.
        let _ = self.places.acquire_many(self.max).await;
    }

    /// Runs `rest` if there is a place for it; drops it otherwise.
    pub(super) fn run(&self, rest: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime the process is ending: then everything is cut.
        let (Ok(place), Ok(runtime)) = (
            Arc::clone(&self.places).try_acquire_owned(),
            Handle::try_current(),
        ) else {
            return;
        };
        let time = self.time;
        runtime.spawn(async move {
            let _ = timeout(time, rest).await;
            drop(place);
        });
    }
}

/// Reads an answer to its end.
pub(super) async fn read(mut body: ModelBody) {
    while let Some(Ok(_)) = body.next().await {}
}

impl fmt::Debug for Drains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drains")
            .field("running", &self.running())
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}
