use std::sync::Arc;

use hyper::rt::Executor;
use tokio::runtime::Handle;

/// The threads that serve connections, and how much each has to do.
#[derive(Clone)]
pub(crate) struct Cores(Arc<[Core]>);

struct Core {
    runtime: Handle,
    /// One owner more than there are seats taken.
    seats: Arc<()>,
}

/// A share of a core, given back when it is dropped.
pub(crate) struct Seat {
    runtime: Handle,
    _taken: Arc<()>,
}

impl Cores {
    /// Those of these runtimes.
    pub(crate) fn new(runtimes: impl Iterator<Item = Handle>) -> Self {
        let core = |runtime| Core {
            runtime,
            seats: Arc::default(),
        };
        Self(runtimes.map(core).collect())
    }

    /// A seat on the core that has the fewest taken; `None` if there are no cores.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let least = |core: &&Core| Arc::strong_count(&core.seats);
        let core = self.0.iter().min_by_key(least)?;
        Some(Seat {
            runtime: core.runtime.clone(),
            _taken: Arc::clone(&core.seats),
        })
    }
}

impl Seat {
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// Spreads the requests of one HTTP/2 connection: a client that sends all it has over one is not held to one core.
impl<F> Executor<F> for Cores
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, request: F) {
        let Some(seat) = self.seat() else { return };
        let runtime = seat.runtime.clone();
        drop(runtime.spawn(async move {
            request.await;
            drop(seat);
        }));
    }
}
