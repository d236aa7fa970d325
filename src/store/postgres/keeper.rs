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
/// Ticks without a word after which who listens asks whether anybody is there.
const SILENCE: u32 = 5;

/// The one task that speaks with the database about leases.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    holder: Option<Holder>,
    ticked: Option<Instant>,
    ticks: u32,
    /// Whether all that is free is on its way back.
    leaving: bool,
}

impl Keeper {
    pub(super) fn start(shared: Arc<Shared>) {
        let ears = listen(Arc::downgrade(&shared));
        let keeper = Self {
            shared,
            holder: None,
            ticked: None,
            ticks: 0,
            leaving: false,
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
        let mut failed = false;
        loop {
            let closing = self.shared.closing.load(Ordering::SeqCst);
            let began = Instant::now();
            let more = match answered(self.round(closing)).await {
                Ok(more) => more,
                Err(error) => {
                    // A round that failed may have been half of one: everything is asked again.
                    self.ticked = None;
                    self.leaving = false;
                    // One that failed soon may have met another's transaction: that is no reason to refuse calls.
                    if !std::mem::replace(&mut failed, true) && began.elapsed() < TICK {
                        sleep(WAITING).await;
                        continue;
                    }
                    if !self.shared.down.swap(true, Ordering::SeqCst) {
                        tracing::warn!(error = %error, cause = ?std::error::Error::source(&error), "budgets cannot be leased: the database is away");
                    }
                    self.shared.desk().book.give_up();
                    if closing {
                        break;
                    }
                    sleep(BACKOFF).await;
                    continue;
                }
            };
            failed = false;
            self.shared.down.store(false, Ordering::SeqCst);
            if more {
                continue;
            }
            if closing {
                break;
            }
            let pause = match self.shared.desk().book.is_waiting() {
                true => WAITING,
                false => TICK,
            };
            let _ = timeout(pause, self.shared.wake.notified()).await;
        }
        self.shared.closed.send_replace(true);
    }

    /// Asks the database what there is to ask, as much as fits into one transaction; whether there is more. Calls that wait come first,
    /// each time.
    async fn round(&mut self, closing: bool) -> Result<bool, Error> {
        let failed = failed("the database does not lease");
        let shared = Arc::clone(&self.shared);
        let mut connection = shared.pool.get_reserved().await?;
        let holder = match &self.holder {
            Some(holder) => holder.clone(),
            None => {
                let (sent, clock) = (Instant::now(), SystemTime::now());
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
                book.renew(sent + ttl, clock + ttl);
                drop(desk);
                self.holder.insert(holder).clone()
            }
        };
        // Forgotten only once it is done: this round may end anywhere.
        if self.shared.replayed.load(Ordering::SeqCst)
            && epochs::close_past(&mut connection, &holder)
                .await
                .map_err(&failed)?
        {
            self.shared.replayed.store(false, Ordering::SeqCst);
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
        let (round, questions) = self.questions(tick, closing);
        // With nothing to ask, the holder is renewed all the same.
        if tick || !questions.asks.is_empty() {
            let (sent, clock) = (Instant::now(), SystemTime::now());
            let answers = leases::adjust(&mut connection, &holder, &questions, round)
                .await
                .map_err(&failed)?;
            let mut desk = self.shared.desk();
            let Desk { book, marks } = &mut *desk;
            match answers {
                Some(answers) => {
                    book.apply(answers);
                    let ttl = self.shared.terms.ttl;
                    book.renew(sent + ttl, clock + ttl);
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
            let has = |id: &BudgetId| shared.desk().book.lease(id).is_some();
            leases::sweep(&mut connection, &holder, has)
                .await
                .map_err(&failed)?;
        }
        let more =
            self.shared.desk().book.is_behind() || self.shared.replayed.load(Ordering::SeqCst);
        if closing && !more {
            leases::leave(&mut connection, &holder)
                .await
                .map_err(&failed)?;
        }
        Ok(more)
    }

    fn questions(&mut self, tick: bool, closing: bool) -> (u64, Questions) {
        let (clock, now) = (SystemTime::now(), Instant::now());
        let idle = self.shared.terms.idle;
        let mut desk = self.shared.desk();
        let Desk { book, marks } = &mut *desk;
        book.serve(clock, now, marks);
        let mut which = Which::Hot;
        if closing && !std::mem::replace(&mut self.leaving, true) {
            which = Which::Leaving;
        } else if tick && !closing {
            book.forget_done(idle, clock, now, marks);
            book.correct_marks(marks);
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
        let listens = timeout(TICK, listener.listen(leases::RECALLS)).await;
        if matches!(listens, Ok(Ok(()))) {
            let mut silent = 0;
            loop {
                let heard = timeout(TICK, listener.recv()).await;
                let Some(shared) = open(&shared) else { break };
                match heard {
                    Ok(Ok(_)) => {
                        silent = 0;
                        shared.recalled.store(true, Ordering::SeqCst);
                        shared.wake.notify_one();
                    }
                    Ok(Err(_)) => break,
                    Err(_) => silent += 1,
                }
                drop(shared);
                if silent < SILENCE {
                    continue;
                }
                // A connection that was cut without a word is as silent as one on which there is nothing to say.
                silent = 0;
                let again = sqlx::query(leases::LISTEN).execute(&mut listener);
                if !matches!(timeout(TICK, again).await, Ok(Ok(_))) {
                    break;
                }
            }
        }
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
