use std::{
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
    time::{Duration, SystemTime},
};

use sqlx::postgres::PgListener;
use tokio::time::{Instant, sleep, timeout};

use super::{
    budgets::{Desk, Shared},
    epochs, failed,
    leases::{self, Holder},
    pool::answered,
    unavailable,
};
use crate::{
    error::Error,
    store::lease::{BudgetId, Marks, Questions, Which},
};

/// How often the database is asked while calls wait.
const WAITING: Duration = Duration::from_millis(20);
/// And while none do: this renews the leases, hears of recalls that were missed, and gives back what is idle.
const TICK: Duration = Duration::from_secs(1);
/// After the database did not answer.
const BACKOFF: Duration = Duration::from_millis(250);
/// Ticks between two sweeps.
const SWEEP: u32 = 60;

/// The one task that speaks with the database about leases.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    holder: Option<Holder>,
    ticked: Option<Instant>,
    ticks: u32,
}

impl Keeper {
    pub(super) fn start(shared: Arc<Shared>) {
        let ears = listen(Arc::downgrade(&shared));
        let keeper = Self {
            shared,
            holder: None,
            ticked: None,
            ticks: 0,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the two tasks of the budgets; close() ends them, and so does dropping the budgets"
        )]
        {
            drop(tokio::spawn(keeper.run()));
            drop(tokio::spawn(ears));
        }
    }

    async fn run(mut self) {
        loop {
            let closing = self.shared.closing.load(Ordering::SeqCst);
            match answered(self.round(closing)).await {
                Ok(()) if closing => break,
                Ok(()) => self.shared.down.store(false, Ordering::SeqCst),
                Err(error) => {
                    if !self.shared.down.swap(true, Ordering::SeqCst) {
                        tracing::warn!(error = %error, cause = ?std::error::Error::source(&error), "budgets cannot be leased: the database is away");
                    }
                    // A round that failed may have been half of one: everything is asked again.
                    self.ticked = None;
                    self.shared.desk().book.give_up();
                    if closing {
                        break;
                    }
                    sleep(BACKOFF).await;
                    continue;
                }
            }
            let pause = match self.shared.desk().book.is_waiting() {
                true => WAITING,
                false => TICK,
            };
            let _ = timeout(pause, self.shared.wake.notified()).await;
        }
        self.shared.closed.send_replace(true);
    }

    /// Asks the database what there is to ask.
    async fn round(&mut self, closing: bool) -> Result<(), Error> {
        let failed = failed("the database does not lease");
        let mut connection = self.shared.pool.get().await?;
        let holder = match &self.holder {
            Some(holder) => holder.clone(),
            None => {
                let sent = Instant::now();
                let (name, ttl) = (&self.shared.name, self.shared.terms.ttl);
                let marks = Arc::clone(&self.shared);
                let used = move |epoch, id: &BudgetId| marks.desk().marks.used(epoch, id);
                let holder = epochs::begin(&mut connection, name, ttl, used)
                    .await
                    .map_err(&failed)?;
                let mut desk = self.shared.desk();
                desk.marks.begin(holder.epoch).map_err(|e| {
                    unavailable("the marks of leases cannot be written").with_source(e)
                })?;
                let Desk { book, marks } = &mut *desk;
                book.mark_all(marks);
                book.renew(sent + ttl);
                drop(desk);
                self.holder.insert(holder).clone()
            }
        };
        if self.shared.replayed.swap(false, Ordering::SeqCst) {
            let closed = epochs::close_past(&mut connection, &holder).await;
            if closed.is_err() {
                self.shared.replayed.store(true, Ordering::SeqCst);
            }
            closed.map_err(&failed)?;
        }
        let tick = self.ticked.is_none_or(|at| at.elapsed() >= TICK)
            || self.shared.recalled.swap(false, Ordering::SeqCst);
        if tick {
            self.ticked = Some(Instant::now());
            self.ticks += 1;
            let recalls = leases::recalls(&mut connection, &holder).await;
            let recalls = recalls.map_err(&failed)?;
            let mut desk = self.shared.desk();
            for id in &recalls {
                desk.book.recall(id, Instant::now());
            }
        }
        let (round, mut all) = self.questions(tick, closing);
        if tick && all.is_empty() {
            // With nothing to ask, the holder is renewed all the same.
            all.push(Questions::default());
        }
        for questions in &all {
            let sent = Instant::now();
            let answers = leases::adjust(&mut connection, &holder, questions, round)
                .await
                .map_err(&failed)?;
            let mut desk = self.shared.desk();
            let Desk { book, marks } = &mut *desk;
            match answers {
                Some(answers) => {
                    book.apply(answers);
                    book.renew(sent + self.shared.terms.ttl);
                    book.serve(SystemTime::now(), Instant::now(), marks);
                }
                None => {
                    tracing::error!(
                        "this process's leases were closed by somebody else; it begins anew"
                    );
                    book.begin_again(marks);
                    drop(desk);
                    self.holder = None;
                    return Err(unavailable("the leases were closed"));
                }
            }
        }
        if tick && self.ticks.is_multiple_of(SWEEP) {
            leases::sweep(&mut connection, &holder)
                .await
                .map_err(&failed)?;
        }
        if closing {
            leases::leave(&mut connection, &holder)
                .await
                .map_err(&failed)?;
        }
        Ok(())
    }

    fn questions(&self, tick: bool, closing: bool) -> (u64, Vec<Questions>) {
        let (clock, now) = (SystemTime::now(), Instant::now());
        let mut desk = self.shared.desk();
        let Desk { book, marks } = &mut *desk;
        if closing {
            return book.give_all_back(now, marks.written());
        }
        book.serve(clock, now, marks);
        let mut which = Which::Hot;
        if tick {
            book.forget_past(clock, marks);
            book.correct_marks(marks);
            let idle = self.shared.terms.idle;
            which = Which::All { idle };
        }
        book.ask(which, clock, now, marks.written())
    }
}

/// Hears when somebody needs idle money. The keeper asks by itself from time to time, so what is missed only comes later.
async fn listen(shared: Weak<Shared>) {
    while let Some(options) = open(&shared).map(|shared| shared.pool.options().clone()) {
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(3))
            .connect_lazy_with(options);
        let Ok(mut listener) = PgListener::connect_with(&pool).await else {
            sleep(TICK).await;
            continue;
        };
        if listener.listen(leases::RECALLS).await.is_ok() {
            loop {
                let heard = timeout(TICK, listener.recv()).await;
                let Some(shared) = open(&shared) else { break };
                match heard {
                    Ok(Ok(_)) => {
                        shared.recalled.store(true, Ordering::SeqCst);
                        shared.wake.notify_one();
                    }
                    Ok(Err(_)) => break,
                    Err(_) => {}
                }
            }
        }
        pool.close().await;
    }
}

fn open(shared: &Weak<Shared>) -> Option<Arc<Shared>> {
    shared
        .upgrade()
        .filter(|shared| !shared.closing.load(Ordering::SeqCst))
}

impl Shared {
    pub(super) fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
