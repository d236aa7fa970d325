//! A thread for each core, with a runtime of its own: what begins on one stays on it.
//!
//! Work that is stolen finds none of its data in the new core's caches, and waking another thread costs more than most calls take
//! in the gateway itself. A connection's own requests, their connections to providers and their timers meet no other thread.

mod cores;

use std::{io, num::NonZero, thread::available_parallelism, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::interval,
};

pub(crate) use self::cores::{Cores, Seat};

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
    pub(crate) fn cores(&self) -> Cores {
        Cores::new(self.cores.iter().map(|runtime| runtime.handle().clone()))
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
    use std::{
        collections::{HashMap, HashSet},
        sync::Arc,
        thread,
    };

    use hyper::rt::Executor;
    use tokio::sync::{Barrier, mpsc};

    use super::*;

    /// Where a task runs that waits once.
    async fn thread_of(seat: &Seat) -> thread::ThreadId {
        let task = seat.runtime().spawn(async {
            tokio::task::yield_now().await;
            thread::current().id()
        });
        task.await.unwrap()
    }

    #[test]
    fn what_runs_on_a_core_stays_on_its_thread_and_each_has_its_share() {
        let threads = Threads::start().unwrap();
        let cores = threads.cores();
        let count = threads.cores.len();
        threads.block_on(async {
            let mut seats: Vec<_> = (0..3 * count).filter_map(|_| cores.seat()).collect();
            let mut served = HashMap::new();
            for seat in &seats {
                *served.entry(thread_of(seat).await).or_insert(0) += 1;
            }
            assert_eq!(served.len(), count, "each core has its own thread");
            assert!(served.values().all(|seats| *seats == 3), "{served:?}");

            let left = thread_of(&seats.pop().unwrap()).await;
            let next = cores.seat().unwrap();
            assert_eq!(thread_of(&next).await, left, "a seat that is free is taken");
        });
    }

    #[test]
    fn the_requests_of_one_connection_are_spread() {
        let threads = Threads::start().unwrap();
        let (cores, count) = (threads.cores(), threads.cores.len());
        let (tell, mut told) = mpsc::channel(count);
        let all_begun = Arc::new(Barrier::new(count));
        for _ in 0..count {
            let (tell, all_begun) = (tell.clone(), Arc::clone(&all_begun));
            cores.execute(async move {
                all_begun.wait().await;
                tell.send(thread::current().id()).await.unwrap();
            });
        }
        drop(tell);
        let mut served = HashSet::new();
        while let Some(thread) = told.blocking_recv() {
            served.insert(thread);
        }
        assert_eq!(served.len(), count);
    }
}
