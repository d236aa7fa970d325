//! Work on a thread that has put itself behind the kernel's fence.

use std::{path::Path, thread};

use rungs::Error;
use tokio::sync::{mpsc, oneshot};

use super::{
    Reach,
    landlock::{Fence, Fenced},
};

/// Jobs that wait for one thread.
const BACKLOG: usize = 64;

type Job<H> = Box<dyn FnOnce(&mut H) + Send>;

/// A thread with what it works with, an `H`, which is made and used behind the fence alone. It ends with the last clone of this.
pub(crate) struct FencedThread<H>(mpsc::Sender<Job<H>>);

impl<H> Clone for FencedThread<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: 'static> FencedThread<H> {
    /// Starts the thread; `what` is named in the warning of a kernel that has no fences.
    pub(super) fn start<E: Send + 'static>(
        what: &'static str,
        fence: Fence,
        make: impl FnOnce() -> Result<H, E> + Send + 'static,
    ) -> Result<Result<Self, E>, Error> {
        let (jobs, mut waiting) = mpsc::channel::<Job<H>>(BACKLOG);
        let (made, is_made) = std::sync::mpsc::sync_channel(1);
        let work = move || {
            match fence.close() {
                Ok(Fenced::Yes) => {}
                Ok(Fenced::No) => tracing::warn!(
                    what,
                    "this kernel has no Landlock: the gateway alone keeps tools where they belong"
                ),
                Err(error) => {
                    tracing::warn!(what, %error, "the gateway alone keeps tools where they belong")
                }
            }
            let mut with = match make() {
                Ok(with) => with,
                Err(error) => return drop(made.send(Err(error))),
            };
            // Who started it waits for that.
            let _ = made.send(Ok(()));
            while let Some(job) = waiting.blocking_recv() {
                job(&mut with);
            }
        };
        let cannot = |error| Error::internal("a thread could not be started").with_source(error);
        thread::Builder::new()
            .name(what.into())
            .spawn(work)
            .map_err(cannot)?;
        let made = is_made.recv().map_err(|_| gone())?;
        Ok(made.map(|()| Self(jobs)))
    }

    /// Has the thread do `job`. It is left out if nobody waits for its answer any more when its turn comes; once begun, it is done to its
    /// end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut H) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job: Job<H> = Box::new(move |with| {
            if !answer.is_closed() {
                drop(answer.send(job(with)));
            }
        });
        self.0.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// One that reads, or also changes, what is in `folders`, and touches nothing else.
    pub(crate) fn in_folders<E: Send + 'static>(
        what: &'static str,
        folders: &[(&Path, Reach)],
        make: impl FnOnce() -> Result<H, E> + Send + 'static,
    ) -> Result<Result<Self, E>, Error> {
        let mut fence = Fence::default();
        for (folder, reach) in folders {
            fence.reach(folder, *reach);
        }
        Self::start(what, fence, make)
    }
}

fn gone() -> Error {
    Error::internal("a thread is gone")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures_util::poll;

    use super::*;
    use crate::sandbox::Folder;

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_any_more_is_not_begun() {
        let folder = Folder::new();
        let make = || Ok::<_, Error>(());
        let folders = [(folder.path(), Reach::Change)];
        let thread = FencedThread::in_folders("test", &folders, make);
        let thread = thread.unwrap().unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let mut holding = Box::pin(thread.run(move |()| {
            let _ = released.recv();
            Ok(())
        }));
        assert!(poll!(&mut holding).is_pending());
        let write = |name: &str| {
            let path = folder.path().join(name);
            thread.run(move |()| {
                fs::write(path, "x").map_err(|error| Error::internal("test").with_source(error))
            })
        };
        let mut cancelled = Box::pin(write("cancelled"));
        assert!(poll!(&mut cancelled).is_pending());
        drop(cancelled);
        release.send(()).unwrap();
        holding.await.unwrap();
        write("wanted").await.unwrap();
        let left = |name: &str| folder.path().join(name).exists();
        assert_eq!(["cancelled", "wanted"].map(left), [false, true]);
    }
}
