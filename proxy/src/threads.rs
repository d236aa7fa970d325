//! A thread for each core, with a runtime of its own: what begins on one stays on it.
//!
//! Work that is stolen finds none of its data in the new core's caches, and waking another thread costs more than most calls take
//! in the gateway itself. A connection's own requests, their connections to providers and their timers meet no other thread.

use std::{io, num::NonZero, thread::available_parallelism, time::Duration};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::interval,
};

/// Shorter than any time limit of a request.
const BEAT: Duration = Duration::from_secs(1);

/// The threads, and one more for what serves all of them, such as the ledger's shipping: that takes its time in pieces that no
/// stream should wait for.
pub(crate) struct Threads {
    house: Runtime,
    cores: Vec<Runtime>,
}

impl Threads {
    /// Starts as many threads as there are cores to use.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            house: runtime()?,
            cores: (0..cores).map(|_| runtime()).collect::<Result<_, _>>()?,
        })
    }

    /// Runs `future`, and what it spawns, beside the threads for connections.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.house.block_on(future)
    }

    /// Where connections are served.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        let cores = self.cores.iter();
        cores.map(|runtime| runtime.handle().clone()).collect()
    }
}

/// Of the kind that steals, because a task that blocks on purpose is told from one that does not; but with nobody to steal from.
fn runtime() -> io::Result<Runtime> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    drop(runtime.spawn(beat()));
    Ok(runtime)
}

/// Keeps a timer running that ends before any other. A timer that is to end before all others wakes the thread that waits for
/// timers, even if that is this one; the limits of requests would do so again and again.
async fn beat() {
    let mut beats = interval(BEAT);
    loop {
        beats.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn what_runs_on_a_core_stays_on_its_thread() {
        let threads = Threads::start().unwrap();
        let handles = threads.handles();
        let seen = handles.iter().map(|handle| {
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    handle.spawn(async {
                        tokio::task::yield_now().await;
                        thread::current().id()
                    })
                })
                .collect();
            let ids = threads.block_on(async {
                let mut ids = HashSet::new();
                for task in tasks {
                    ids.insert(task.await.unwrap());
                }
                ids
            });
            assert_eq!(ids.len(), 1);
            ids
        });
        let all: HashSet<_> = seen.flatten().collect();
        assert_eq!(all.len(), handles.len(), "each core has its own");
    }
}
