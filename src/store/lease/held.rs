use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Answer, BudgetId, Marks, Standing, lately::Lately};
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
    /// Since when it counts: what began earlier is no matter of this lease, here and in the database.
    pub(super) began: SystemTime,
    /// What was granted and committed, all in all, less what was given back.
    size: i64,
    /// The part of it that is on its way back. It may be counted as gone already or not: it is not used.
    returning: i64,
    /// What is held and what was spent since the lease began.
    pub(super) used: i64,
    /// The part of `used` that is held.
    pub(super) held: i64,
    pub(super) open: HashMap<u64, i64>,
    /// How the budget stood when the database last answered, and what this holder had out of it.
    seen: Option<Answer>,
    recent: Lately,
    /// What was held and turned out not to be spent, each with the number of the ledger's row that says so and is not written yet.
    unproven: VecDeque<(u64, i64)>,
    /// All of that. Should the process die now, the next one charges it: it is not free.
    doubtful: i64,
    touched: Instant,
    recalled: Option<Instant>,
    /// Whether the recall has been taken notice of.
    answering: bool,
    /// A question about it has no answer yet.
    asked: bool,
    /// By the database's clock, its window is not that of now.
    shut: bool,
    /// Where the marks keep it, and what they say.
    mark: Option<(usize, i64)>,
}

impl Lease {
    pub(super) fn new(budget: Budget, at: SystemTime, now: Instant) -> Self {
        let (start, end) = budget.window.span(at);
        Self {
            span: budget.window.to_string().into(),
            budget,
            start,
            end,
            began: at,
            size: 0,
            returning: 0,
            used: 0,
            held: 0,
            open: HashMap::new(),
            seen: None,
            recent: Lately::new(STRETCH, now),
            unproven: VecDeque::new(),
            doubtful: 0,
            touched: now,
            recalled: None,
            answering: false,
            asked: false,
            shut: false,
            mark: None,
        }
    }

    pub(super) fn contains(&self, at: SystemTime) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }

    pub(super) fn is(&self, id: &BudgetId) -> bool {
        self.start == id.start && self.span == id.span
    }

    /// Whether what began at `at` is paid from this lease. The database asks the same of its row.
    pub(super) fn pays(&self, at: SystemTime) -> bool {
        self.contains(at) && self.began <= at
    }

    /// What is there for calls.
    pub(crate) fn free(&self) -> i64 {
        self.unused().min(self.under_limit())
    }

    fn unused(&self) -> i64 {
        self.size - self.returning - self.tied()
    }

    /// What the limit leaves, as far as anybody knows here: a lease may be larger than a limit that has become lower.
    fn under_limit(&self) -> i64 {
        self.limit() - self.others().0 - self.used()
    }

    /// Whether its limit is among those that the database has heard of.
    pub(super) fn is_told(&self, told: &[Budget]) -> bool {
        told.contains(&self.budget)
    }

    pub(crate) fn end(&self) -> Option<SystemTime> {
        self.end
    }

    pub(crate) fn limit(&self) -> i64 {
        self.budget.limit.nanos()
    }

    /// What is used since the lease began, and what would be charged as used if the process died now.
    pub(super) fn used(&self) -> i64 {
        self.used + self.doubtful
    }

    /// The part of the lease that is used so: what it could not pay for, the budget has taken by itself. What has arrived is used,
    /// whatever is counted here.
    pub(super) fn tied(&self) -> i64 {
        let (shipped, beyond) = self.seen.map_or((0, 0), |seen| (seen.shipped, seen.beyond));
        (self.used() - beyond).max(shipped)
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

    /// Writes down how much is used.
    pub(super) fn write(&mut self, id: &BudgetId, marks: &mut dyn Marks) {
        let (at, used) = (self.mark.map(|(at, _)| at), self.tied());
        if let Some(at) = marks.mark(at, id, used) {
            self.mark = Some((at, used));
        }
    }

    /// Nothing is written down of it any more.
    pub(super) fn unmark(&mut self) -> Option<usize> {
        self.mark.take().map(|(at, _)| at)
    }

    /// Whether more is used than is written down.
    pub(super) fn is_unmarked(&self) -> bool {
        self.tied() > self.mark.map_or(0, |(_, used)| used)
    }

    pub(super) fn is_marked_wrong(&self) -> bool {
        self.mark.map_or(0, |(_, used)| used) != self.tied()
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
        let (posted, granted) = self.others();
        Balance {
            budget: self.budget.clone(),
            posted: Money::from_nanos(posted + self.used - self.held),
            reserved: Money::from_nanos(granted + self.held),
        }
    }

    /// What others had spent, or this holder before the lease began, and what others had in their leases, when the database last
    /// answered.
    fn others(&self) -> (i64, i64) {
        self.seen.map_or((0, 0), |seen| {
            let Standing {
                posted,
                granted,
                excess,
                ..
            } = seen.standing;
            (
                (posted + excess - seen.shipped - seen.beyond).max(0),
                (granted - (seen.size - seen.shipped)).max(0),
            )
        })
    }

    /// Whether no lease could ever pay `nanos`: that needs no question.
    pub(super) fn is_out_of_reach(&self, nanos: i64) -> bool {
        self.balance().is_spent() || nanos > self.budget.limit.nanos()
    }

    /// Whether the database has said, in a round after `since`, that there is no room for `nanos`, with what is free here.
    pub(super) fn lacks_room(&self, nanos: i64, since: u64) -> bool {
        self.seen.is_some_and(|seen| {
            let more = seen.standing.room_under(self.limit());
            let all = (self.unused() + more).min(self.under_limit());
            seen.round > since && nanos > all
        })
    }

    /// The same, and nothing is held anywhere that may become free.
    pub(super) fn is_hopeless(&self, nanos: i64, since: u64) -> bool {
        self.others().1 == 0 && self.held + self.doubtful == 0 && self.lacks_room(nanos, since)
    }

    /// Whether to ask for more before anybody waits: less than a quarter is left of what is spent in a while.
    pub(super) fn runs_low(&mut self, now: Instant) -> bool {
        let recent = self.recent.rate(now);
        recent > 0
            && self.free() < recent / 4
            && self
                .seen
                .is_none_or(|seen| seen.standing.room_under(self.limit()) > 0)
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
        wait: Duration,
        at: SystemTime,
        now: Instant,
    ) -> bool {
        let recalled = self.is_recalled(now);
        let idle = unused || recalled || (!wanted && self.is_idle(wait, at, now));
        // What calls here cannot use may be all that a call elsewhere lacks: when asked for, it goes back although they wait, and they
        // ask anew for all they need.
        if idle {
            self.give_back();
        } else {
            // What a limit that has become lower does not allow.
            self.returning += (self.unused() - self.free().max(0)).max(0);
        }
        let low = !idle && self.contains(at) && self.runs_low(now);
        let told = recalled && !std::mem::replace(&mut self.answering, true);
        // Whether all has arrived is worth a question from time to time: then the lease may go.
        let ends = self.is_still(wait, now) && self.is_done() && !self.has_arrived(at);
        if ends {
            self.touched = now;
        }
        wanted || low || told || ends || self.asked || self.returning > 0
    }

    /// Notes that there is a question about it.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether nothing has moved for `wait`, or the window is over.
    fn is_idle(&self, wait: Duration, at: SystemTime, now: Instant) -> bool {
        !self.contains(at) || self.is_still(wait, now)
    }

    fn is_still(&self, wait: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.touched) >= wait
    }

    /// Puts all that is not used on its way back.
    fn give_back(&mut self) {
        self.returning += self.unused().max(0);
    }

    /// What the lease may be at most while something is on its way back.
    pub(super) fn keep(&self) -> i64 {
        self.size - self.returning
    }

    /// The database has answered: what it says is so, whatever came of the questions before. `None`: it has no such budget, because
    /// its window is not that of now.
    pub(super) fn apply(&mut self, answer: Option<Answer>) {
        self.asked = false;
        self.shut = answer.is_none_or(|answer| !answer.open);
        let Some(answer) = answer else { return };
        self.size = answer.size;
        self.returning = 0;
        self.seen = Some(answer);
        // What has arrived was spent, whoever remembers it. While a call is under way, its row may be among that, and its hold is
        // counted already.
        if self.open.is_empty() {
            self.used = self.used.max(answer.shipped + answer.beyond);
        }
    }

    /// Whether the database says that it is another window's time.
    pub(super) fn is_shut(&self) -> bool {
        self.shut
    }

    /// A new epoch: nothing is granted to it yet. What is held or was spent before belongs to the past lease.
    pub(super) fn begin_again(&mut self, at: SystemTime) {
        self.began = at;
        self.size = 0;
        self.returning = 0;
        self.used = 0;
        self.held = 0;
        self.open.clear();
        self.unproven.clear();
        self.doubtful = 0;
        self.seen = None;
        self.asked = false;
    }

    /// Nothing is held, wanted, or to be given back.
    fn is_done(&self) -> bool {
        self.open.is_empty() && self.doubtful + self.returning == 0 && self.unused() <= 0
    }

    /// Whether all that was spent has arrived as spending. Where the database has no budget of a window that is over, nothing does.
    fn has_arrived(&self, at: SystemTime) -> bool {
        match self.seen {
            Some(seen) => seen.shipped + seen.beyond >= self.used,
            None => self.used <= 0 || (self.shut && !self.contains(at)),
        }
    }

    /// Whether nobody need remember it: nothing has moved for a while, and what it was used for, the database knows. Should it come
    /// again, it counts anew from a later time. One of a budget that is spent says so while the database is away.
    pub(super) fn is_over(
        &self,
        unused: bool,
        wait: Duration,
        at: SystemTime,
        now: Instant,
    ) -> bool {
        let says_no = !unused && self.contains(at) && self.balance().is_spent();
        let idle = unused || self.is_idle(wait, at, now);
        let is_known = !self.asked && self.is_done() && self.has_arrived(at);
        idle && !says_no && self.began < at && is_known
    }
}
