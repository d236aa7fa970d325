use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Answer, Marks, Standing, lately::Lately};
use crate::{
    catalog::Money,
    store::{Balance, Budget},
};

/// How long a lease should last. A guess: it sizes leases, and nothing depends on it.
const STRETCH: Duration = Duration::from_secs(30);

/// After a recall, what becomes free goes back at once for so long.
const RECALLED: Duration = Duration::from_secs(1);

/// A holder's lease on a budget over one window. Amounts in nano-dollars.
pub(crate) struct Lease {
    pub(super) budget: Budget,
    /// The budget's window as text.
    pub(super) span: Arc<str>,
    pub(super) start: SystemTime,
    pub(super) end: Option<SystemTime>,
    /// What was granted and committed, all in all, less what was given back.
    size: i64,
    /// The part of it that is on its way back. It may be counted as gone already or not: it is not used.
    returning: i64,
    /// What is held and what was spent since this process holds the lease.
    used: i64,
    /// The part of `used` that is held.
    held: i64,
    open: HashMap<u64, i64>,
    /// How the budget stood when the database last answered, and what this holder had out of it.
    seen: Option<Answer>,
    recent: Lately,
    /// What was held and turned out not to be spent, each with the number of the ledger's row that says so and is not written yet.
    unproven: VecDeque<(u64, i64)>,
    /// All of that. Should the process die now, the next one charges it: it is not free.
    doubtful: i64,
    /// What the marks say.
    marked: i64,
    touched: Instant,
    recalled: Option<Instant>,
    /// Whether the recall has been taken notice of.
    answering: bool,
    /// Whether the budget's limit is to be told to the database.
    pub(super) announce: bool,
    /// Where the marks keep it.
    pub(super) mark: Option<usize>,
}

impl Lease {
    pub(super) fn new(
        budget: Budget,
        span: (SystemTime, Option<SystemTime>),
        now: Instant,
    ) -> Self {
        Self {
            span: budget.window.to_string().into(),
            budget,
            start: span.0,
            end: span.1,
            size: 0,
            returning: 0,
            used: 0,
            held: 0,
            open: HashMap::new(),
            seen: None,
            recent: Lately::new(STRETCH, now),
            unproven: VecDeque::new(),
            doubtful: 0,
            marked: 0,
            touched: now,
            recalled: None,
            answering: false,
            announce: true,
            mark: None,
        }
    }

    pub(super) fn contains(&self, at: SystemTime) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }

    pub(crate) fn free(&self) -> i64 {
        self.size - self.returning - self.tied()
    }

    pub(crate) fn end(&self) -> Option<SystemTime> {
        self.end
    }

    pub(crate) fn limit(&self) -> i64 {
        self.budget.limit.nanos()
    }

    /// Whether the limit replaces one that the database may have.
    pub(crate) fn announces(&self) -> bool {
        self.announce
    }

    pub(crate) fn size(&self) -> i64 {
        self.size
    }

    /// What is used, and what would be charged as used if the process died now.
    pub(super) fn tied(&self) -> i64 {
        self.used + self.doubtful
    }

    pub(super) fn is_known(&self) -> bool {
        self.seen.is_some()
    }

    /// Holds, whether or not there is room: that was asked before.
    pub(super) fn hold(&mut self, serial: u64, nanos: i64, now: Instant) {
        self.used += nanos;
        self.held += nanos;
        *self.open.entry(serial).or_insert(0) += nanos;
        self.touched = now;
    }

    /// Rows up to `written` say what was spent, whatever becomes of this process.
    pub(super) fn prove(&mut self, written: u64) {
        while let Some((_, nanos)) = self.unproven.pop_front_if(|(row, _)| *row <= written) {
            self.doubtful -= nanos;
        }
    }

    /// What is to be written down as used.
    pub(super) fn next_mark(&mut self) -> i64 {
        self.marked = self.tied();
        self.marked
    }

    pub(super) fn is_marked_high(&self) -> bool {
        self.marked > self.tied()
    }

    /// Undoes a hold.
    pub(super) fn take_back(&mut self, serial: u64, nanos: i64) {
        if let Some(open) = self.open.get_mut(&serial) {
            *open -= nanos;
            self.used -= nanos;
            self.held -= nanos;
            if *open == 0 {
                self.open.remove(&serial);
            }
        }
    }

    /// What was held becomes what was spent; a hold that this lease does not know was none here, but what it cost counts.
    /// The ledger has taken the row already.
    pub(super) fn settle(&mut self, serial: u64, spent: i64, now: Instant, marks: &dyn Marks) {
        let held = self.open.remove(&serial).unwrap_or(0);
        self.held -= held;
        self.used += spent - held;
        self.recent.add(spent, now);
        let (unspent, row) = (held - spent, marks.taken());
        if unspent > 0 && row > marks.written() {
            self.unproven.push_back((row, unspent));
            self.doubtful += unspent;
        }
        self.touched = now;
    }

    pub(super) fn balance(&self) -> Balance {
        let others = self.seen.map_or((0, 0), |seen| {
            let Standing {
                posted,
                granted,
                excess,
                ..
            } = seen.standing;
            (
                posted + excess - seen.shipped,
                granted - (seen.size - seen.shipped),
            )
        });
        Balance {
            budget: self.budget.clone(),
            posted: Money::from_nanos(others.0.max(0) + self.used - self.held),
            reserved: Money::from_nanos(others.1.max(0) + self.held),
        }
    }

    /// Whether no lease could ever pay `nanos`: that needs no question.
    pub(super) fn is_out_of_reach(&self, nanos: i64) -> bool {
        self.balance().is_spent() || nanos > self.budget.limit.nanos()
    }

    /// Whether the database has said, in a round after `since`, that there is no room for `nanos`, with what is free here.
    pub(super) fn lacks_room(&self, nanos: i64, since: u64) -> bool {
        self.seen
            .is_some_and(|seen| seen.round > since && nanos > self.free() + seen.standing.room())
    }

    /// The same, and nothing is held anywhere that may become free.
    pub(super) fn is_hopeless(&self, nanos: i64, since: u64) -> bool {
        self.seen.is_some_and(|seen| {
            let out = seen.standing.granted - (seen.size - seen.shipped);
            out <= 0 && self.held + self.doubtful == 0 && self.lacks_room(nanos, since)
        })
    }

    /// Whether to ask for more before anybody waits: less than a quarter is left of what is spent in a while.
    pub(super) fn runs_low(&mut self, now: Instant) -> bool {
        let recent = self.recent.rate(now);
        recent > 0
            && self.free() < recent / 4
            && self.seen.is_none_or(|seen| seen.standing.room() > 0)
    }

    /// What should be free here for calls to come.
    pub(super) fn slice(&mut self, now: Instant) -> i64 {
        // Whoever gives money back, or was asked for what is idle, takes none for later.
        match self.returning > 0 || self.is_recalled(now) {
            true => 0,
            false => self.recent.rate(now),
        }
    }

    /// Somebody else needs what is idle here.
    pub(super) fn recall(&mut self, now: Instant) {
        self.recalled = Some(now);
        self.answering = false;
    }

    pub(super) fn is_recalled(&self, now: Instant) -> bool {
        self.recalled
            .is_some_and(|at| now.saturating_duration_since(at) < RECALLED)
    }

    /// Puts what is not needed here on its way back, and says whether there is anything to ask or to tell. `unused` is a lease of a
    /// window that no budget counts over any more; for one that is `wanted`, calls wait.
    pub(super) fn is_due(
        &mut self,
        (unused, wanted): (bool, bool),
        idle: Duration,
        at: SystemTime,
        now: Instant,
    ) -> bool {
        let recalled = self.is_recalled(now);
        let idle = unused || recalled || (!wanted && self.is_idle(idle, at, now));
        // What calls here cannot use may be all that a call elsewhere lacks: when asked for, it goes back although they wait, and they
        // ask anew for all they need.
        if idle && self.free() > 0 {
            self.give_back();
        }
        let low = !idle && self.contains(at) && self.runs_low(now);
        let told = recalled && !std::mem::replace(&mut self.answering, true);
        let announces = self.announce && !unused && self.contains(at);
        wanted || low || told || announces || self.returning > 0
    }

    /// Whether nothing has moved for `idle`, or the window is over.
    pub(super) fn is_idle(&self, idle: Duration, at: SystemTime, now: Instant) -> bool {
        !self.contains(at) || now.saturating_duration_since(self.touched) >= idle
    }

    /// Puts all that is free on its way back; what the lease shall be then.
    pub(crate) fn give_back(&mut self) -> i64 {
        self.returning += self.free().max(0);
        self.size - self.returning
    }

    /// What the lease may be at most while something is on its way back.
    pub(super) fn keep(&self) -> i64 {
        self.size - self.returning
    }

    /// The database has answered: what it says is so, whatever came of the questions before.
    pub(super) fn apply(&mut self, answer: Answer) {
        self.size = answer.size;
        self.returning = 0;
        self.announce = false;
        self.seen = Some(answer);
        // More was spent than was held, and all that had been granted has arrived: the database counts the rest by itself.
        if self.open.is_empty() && answer.arrived {
            self.used = self.used.min(answer.shipped);
        }
    }

    /// A new epoch: nothing is granted to it yet. What is held or was spent before belongs to the past lease.
    pub(super) fn begin_again(&mut self) {
        self.size = 0;
        self.returning = 0;
        self.used = 0;
        self.held = 0;
        self.open.clear();
        self.unproven.clear();
        self.doubtful = 0;
        self.seen = None;
        self.announce = true;
    }

    /// Nothing is held, wanted, or to be given back.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty() && self.doubtful + self.returning == 0 && self.free() <= 0
    }

    /// Whether all that was spent has arrived as spending.
    pub(super) fn has_arrived(&self) -> bool {
        self.used == 0 || self.seen.is_some_and(|seen| seen.shipped >= self.used)
    }
}
