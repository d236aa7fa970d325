use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, Pipeline, RedisResult};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{
    connection::Connection,
    debt::Debt,
    script::ScriptCall,
    server::{Away, Shared},
};

/// What waits at most: so many jobs, of so many bytes.
const JOBS: usize = 4096;
const BYTES: usize = 32 << 20;

/// What shares a round trip: so many jobs, and no more once they are of so many bytes, which a slow way carries in time.
pub(super) const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// The time limit of a batch. Nobody waits for it, but whatever comes behind does.
const PATIENCE: Duration = Duration::from_millis(250);

/// The first pause between two tries whether an absent server is back; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A server that was back for less is tried as seldom as before: it comes and goes.
const STEADY: Duration = Duration::from_secs(10);

/// Something to be done that nobody waits for.
pub(super) enum Job {
    Command(Cmd, usize),
    Script(ScriptCall),
    /// A script that counts what was used of a limit.
    Count(ScriptCall, Debt),
    /// Tells when all before it is done.
    Mark(oneshot::Sender<()>),
}

/// The near end of the one task of a [`Redis`](super::Redis). When it goes, the task ends.
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    /// Starts the task.
    pub(super) fn start(server: Arc<Shared>) -> Self {
        let (jobs, waiting) = mpsc::channel(JOBS);
        let bytes = Arc::new(AtomicUsize::new(0));
        let task = Task {
            server,
            waiting,
            bytes: bytes.clone(),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the only task of the store; flush() waits for its work, and dropping the store ends it"
        )]
        drop(tokio::spawn(task.run()));
        Self { jobs, bytes }
    }

    pub(super) fn push(&self, job: Job) {
        let weight = job.weight();
        let room = self.bytes.fetch_add(weight, Ordering::Relaxed) + weight <= BYTES;
        if !room || self.jobs.try_send(job).is_err() {
            self.bytes.fetch_sub(weight, Ordering::Relaxed);
            metrics::counter!("rungs_redis_dropped_total").increment(1);
        }
    }

    pub(super) async fn flush(&self, patience: Duration) {
        let (done, told) = oneshot::channel();
        if self.jobs.try_send(Job::Mark(done)).is_ok() {
            let _ = timeout(patience, told).await;
        }
    }
}

impl Job {
    fn weight(&self) -> usize {
        match self {
            Self::Command(_, bytes) => *bytes,
            Self::Script(call) | Self::Count(call, _) => call.weight(),
            Self::Mark(_) => 0,
        }
    }
}

struct Task {
    server: Arc<Shared>,
    waiting: mpsc::Receiver<Job>,
    bytes: Arc<AtomicUsize>,
}

impl Task {
    /// Does what is handed over, and tries whether an absent server is back.
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut pause = FIRST_PAUSE;
        let mut back = Instant::now();
        loop {
            if self.server.breaker.is_open() {
                if self.waiting.is_closed() {
                    break;
                }
                if back.elapsed() > STEADY {
                    pause = FIRST_PAUSE;
                }
                sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
                self.server.probe().await;
                back = Instant::now();
                continue;
            }
            tokio::select! {
                () = self.server.breaker.opened() => {}
                first = self.waiting.recv() => {
                    let Some(first) = first else {
                        break;
                    };
                    self.gather(first, &mut batch);
                    self.work(&mut batch).await;
                }
            }
        }
    }

    /// A job, and those behind it that go with it.
    fn gather(&mut self, first: Job, batch: &mut Vec<Job>) {
        let mut bytes = first.weight();
        batch.push(first);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Ok(job) = self.waiting.try_recv() else {
                break;
            };
            bytes += job.weight();
            batch.push(job);
        }
    }

    async fn work(&self, batch: &mut Vec<Job>) {
        let weight: usize = batch.iter().map(Job::weight).sum();
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
        // What fails is lost, but for debts: each job can be done without, and a second time might be once too often.
        let is_done = self.server.work(batch).await.is_ok();
        for job in batch.drain(..) {
            match job {
                Job::Mark(done) => drop(done.send(())),
                Job::Count(_, debt) if is_done => debt.paid(),
                Job::Command(..) | Job::Script(_) | Job::Count(..) => {}
            }
        }
    }
}

impl Shared {
    /// Does a batch of jobs, in one round trip where the server allows that.
    pub(super) async fn work(&self, batch: &[Job]) -> Result<(), Away> {
        self.ask(PATIENCE, async |c| send(c, batch).await).await
    }
}

async fn send(connection: &mut Connection, batch: &[Job]) -> RedisResult<()> {
    let commands = batch.iter().filter_map(|job| match job {
        Job::Command(command, _) => Some(command.clone()),
        Job::Script(call) | Job::Count(call, _) => Some(call.with_code()),
        Job::Mark(_) => None,
    });
    if connection.pipelines() {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command).ignore();
        }
        return match pipeline.is_empty() {
            true => Ok(()),
            false => pipeline.query_async(connection).await,
        };
    }
    for command in commands {
        command.query_async::<()>(connection).await?;
    }
    Ok(())
}
