//! The one task that adds to conversations.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    compress::Compression,
    delivery::{Appended, Delivery},
    line::{Group, Item, Kept, Line, Next},
    summaries::Summaries,
};
use crate::{error::Error, store::ConversationKey};

/// Jobs that are looked at together.
const BATCH: usize = 64;

/// Something for the task, done in order within each conversation.
pub(super) enum Job {
    Keep(Kept, Option<Box<Compression>>),
    Forget(ConversationKey, oneshot::Sender<Result<bool, Error>>),
    /// Is dropped when all before it is done.
    Mark(oneshot::Sender<()>),
}

pub(super) struct Writer {
    jobs: mpsc::Receiver<Job>,
    delivery: Arc<Delivery>,
    summaries: Summaries,
    closing: watch::Receiver<bool>,
    /// The conversations that something is being done in, and what waits behind it.
    lines: HashMap<ConversationKey, Line>,
    under_way: FuturesUnordered<BoxFuture<'static, (ConversationKey, Done)>>,
}

/// What was done in a conversation.
enum Done {
    Appended(Group, Appended),
    /// With what is to be put back, because it could not be forgotten.
    Forgotten(Vec<Item>),
}

impl Writer {
    pub(super) fn new(
        jobs: mpsc::Receiver<Job>,
        delivery: Delivery,
        summaries: Summaries,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            jobs,
            delivery: Arc::new(delivery),
            summaries,
            closing,
            lines: HashMap::new(),
            under_way: FuturesUnordered::new(),
        }
    }

    /// Starts the task with what a process before has left.
    pub(super) fn start(self, left: Vec<Kept>) {
        #[expect(
            clippy::disallowed_methods,
            reason = "close() waits for its work, and it ends when the last handle is dropped"
        )]
        drop(tokio::spawn(self.run(left)));
    }

    async fn run(mut self, left: Vec<Kept>) {
        let left = left.into_iter().map(|kept| Job::Keep(kept, None));
        self.work(left).await;
        let mut batch = Vec::with_capacity(BATCH);
        let mut open = true;
        while open || !self.under_way.is_empty() {
            tokio::select! {
                count = self.jobs.recv_many(&mut batch, BATCH), if open => {
                    open = count > 0;
                    self.work(batch.drain(..)).await;
                }
                Some((key, done)) = self.under_way.next() => self.done(key, done),
                Some(()) = self.summaries.ended() => {}
            }
        }
    }

    async fn work(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut idle = Vec::new();
        for job in jobs {
            match job {
                Job::Keep(kept, compression) => {
                    let key = kept.key.clone();
                    self.line(key, &mut idle).keep(kept, compression);
                }
                Job::Forget(key, told) => self.line(key, &mut idle).forget(told),
                Job::Mark(told) => {
                    let told = Arc::new(told);
                    for line in self.lines.values_mut() {
                        line.mark(&told);
                    }
                    if *self.closing.borrow() {
                        self.summaries.end().await;
                    }
                }
            }
        }
        // Together, so that what has come at once is written at once.
        for key in idle {
            self.go_on(key);
        }
    }

    /// The line of a conversation; one in which nothing is being done is `idle`.
    fn line(&mut self, key: ConversationKey, idle: &mut Vec<ConversationKey>) -> &mut Line {
        match self.lines.entry(key) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(place) => {
                idle.push(place.key().clone());
                place.insert(Line::default())
            }
        }
    }

    /// Begins what comes next in a conversation.
    fn go_on(&mut self, key: ConversationKey) {
        let Some(line) = self.lines.get_mut(&key) else {
            return;
        };
        let delivery = Arc::clone(&self.delivery);
        let next = match line.next() {
            Next::Append(group) => {
                let forget = Arc::clone(&line.forget);
                async move {
                    let appended = delivery.append(&key, &group, &forget).await;
                    (key, Done::Appended(group, appended))
                }
                .boxed()
            }
            Next::Forget(before, told) => {
                self.summaries.forget(&key);
                async move {
                    let forgotten = delivery.forget(&key, &before).await;
                    let back = match forgotten {
                        Ok(_) => Vec::new(),
                        Err(_) => before,
                    };
                    let _ = told.send(forgotten);
                    (key, Done::Forgotten(back))
                }
                .boxed()
            }
            Next::Nothing => {
                self.lines.remove(&key);
                return;
            }
        };
        self.under_way.push(next);
    }

    fn done(&mut self, key: ConversationKey, done: Done) {
        let line = self.lines.entry(key.clone()).or_default();
        match done {
            Done::Appended(group, Appended::To(memory)) => {
                if let Some(compression) = group.compression
                    && !*self.closing.borrow()
                {
                    self.summaries.begin(key.clone(), &memory, compression);
                }
            }
            Done::Appended(group, Appended::Stopped) => line.put_back(vec![Item::Turns(group)]),
            // Then it is taken out of the spool as well, or the next start would bring it back.
            Done::Appended(group, Appended::NotYet) if line.is_to_be_forgotten() => {
                line.put_back(vec![Item::Turns(group)]);
            }
            // What comes later in a conversation must not come to the store earlier.
            Done::Appended(group, Appended::NotYet) => {
                let mut left = vec![Item::Turns(group)];
                left.append(&mut line.give_up());
                self.delivery.leave(&key, &left);
            }
            Done::Appended(_, Appended::Never) => {}
            Done::Forgotten(back) => line.put_back(back),
        }
        self.go_on(key);
    }
}
