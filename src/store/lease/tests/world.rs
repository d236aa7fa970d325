use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::prelude::*;
use tokio::time::Instant;

use crate::{
    catalog::Money,
    store::{
        Budget, Hold, OnStoreDown,
        lease::{Ask, Book, BudgetId, Granted, Line, Marks, Short, Standing, Ticket, Which},
    },
};

pub(super) const HOLDERS: usize = 3;
/// The accounts, and the limits of their budgets.
pub(super) const ACCOUNTS: usize = 2;
const LIMITS: [(&str, i64); ACCOUNTS] = [("global", 1_300), ("key:k", 1_000)];
/// How long money may lie idle, and leases be remembered.
const IDLE: Duration = Duration::from_secs(10);

/// Marks in memory, as a file would have them after a kill.
#[derive(Default)]
pub(super) struct Page {
    used: HashMap<BudgetId, i64>,
    taken: u64,
    written: u64,
}

impl Marks for Page {
    fn mark(&mut self, _: Option<usize>, id: &BudgetId, used: i64) -> Option<usize> {
        self.used.insert(id.clone(), used);
        Some(0)
    }

    fn forget(&mut self, _: usize) {}

    fn taken(&self) -> u64 {
        self.taken
    }

    fn written(&self) -> u64 {
        self.written
    }
}

/// Whom a call is paid by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Global,
    Key,
    Both,
}

impl Of {
    fn accounts(self) -> Vec<Arc<str>> {
        self.indices().map(name).collect()
    }

    fn indices(self) -> std::ops::Range<usize> {
        match self {
            Self::Global => 0..1,
            Self::Key => 1..2,
            Self::Both => 0..2,
        }
    }
}

/// What one call has cost, what it would have at worst, and when it was held.
#[derive(Clone, Copy)]
struct Paid {
    of: Of,
    nanos: i64,
    worst: i64,
    at: SystemTime,
}

impl Paid {
    fn is_of(&self, at: usize) -> bool {
        self.of.indices().contains(&at)
    }
}

/// A holder's leases as the database has them.
type Leases = [Option<Granted>; ACCOUNTS];

fn out(lease: &Option<Granted>) -> i64 {
    lease.map_or(0, |lease| lease.size - lease.spent)
}

#[derive(Default)]
struct Holder {
    book: Book,
    /// The limits that it knows; `None` where the budget was taken away.
    limits: [Option<i64>; ACCOUNTS],
    page: Page,
    leases: Leases,
    /// Leases of processes before this one.
    past: Vec<Leases>,
    open: Vec<(Of, Hold)>,
    waiting: Vec<(Of, i64, Ticket)>,
    /// Rows that the ledger has taken and not written.
    unwritten: Vec<Paid>,
    /// Rows on their way to the database.
    journal: Vec<Paid>,
    /// The same of processes before this one.
    past_journal: Vec<Paid>,
    /// Rows that the database has.
    arrived: Vec<Paid>,
}

/// All holders, and the truth.
pub(super) struct World {
    pub(super) standings: [Standing; ACCOUNTS],
    holders: Vec<Holder>,
    /// What providers have billed, and may bill still for what was under way when a holder died.
    pub(super) bill: [i64; ACCOUNTS],
    /// What a kill charges although it was not spent.
    overcharge: [i64; ACCOUNTS],
    pub(super) now: Instant,
    /// What clocks on the wall show.
    pub(super) clock: SystemTime,
    /// Whether nothing has happened that may overspend a budget: no call without a lease, no bill beyond its bound, no lower limit.
    strict: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Holds, or waits.
    Call(usize, Of, i64),
    /// The call that has waited longest leaves.
    Leave(usize),
    /// The oldest hold ends; it cost so many hundredths of its worst case.
    Settle(usize, i64),
    /// The ledger writes its rows.
    Write(usize),
    /// Holder and database speak; the answer may get lost.
    Round(usize, bool),
    Recall(usize),
    Ship(usize),
    Kill(usize),
    /// All rows of past processes have arrived.
    ClosePast(usize),
    /// So many seconds pass.
    Pass(u64),
    /// The database is away, and a call is made all the same.
    Open(usize, Of, i64),
    /// Clocks are set, by so many seconds.
    Clock(i64),
    /// A holder hears of another limit.
    Limit(usize, usize, i64),
    /// A holder hears that a budget was taken away.
    Without(usize, usize),
}

/// What must not overspend a budget.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let who = 0..HOLDERS;
    let of = prop_oneof![
        Just(Of::Global),
        Just(Of::Key),
        Just(Of::Both),
        Just(Of::Both)
    ];
    prop_oneof![
        2 => (1..20_u64).prop_map(Step::Pass),
        6 => (who.clone(), of, 1..160_i64).prop_map(|(i, of, n)| Step::Call(i, of, n)),
        1 => who.clone().prop_map(Step::Leave),
        5 => (who.clone(), 0..=100_i64).prop_map(|(i, n)| Step::Settle(i, n)),
        4 => who.clone().prop_map(Step::Write),
        3 => (who.clone(), any::<bool>()).prop_map(|(i, lost)| Step::Round(i, lost)),
        2 => who.clone().prop_map(Step::Recall),
        3 => who.clone().prop_map(Step::Ship),
        1 => who.clone().prop_map(Step::Kill),
        1 => who.prop_map(Step::ClosePast),
    ]
}

/// What else may happen while nobody dies.
pub(super) fn wild_step() -> impl Strategy<Value = Step> {
    let who = 0..HOLDERS;
    let of = prop_oneof![Just(Of::Global), Just(Of::Key), Just(Of::Both)];
    let tame = step().prop_filter("nobody dies", |step| !matches!(step, Step::Kill(_)));
    prop_oneof![
        20 => tame,
        2 => (who.clone(), of, 1..400_i64).prop_map(|(i, of, n)| Step::Open(i, of, n)),
        2 => (who.clone(), 101..300_i64).prop_map(|(i, n)| Step::Settle(i, n)),
        2 => (-50..50_i64).prop_map(Step::Clock),
        2 => (who.clone(), 0..ACCOUNTS, 1..2_000_i64).prop_map(|(i, at, n)| Step::Limit(i, at, n)),
        1 => (who, 0..ACCOUNTS).prop_map(|(i, at)| Step::Without(i, at)),
    ]
}

pub(super) fn at() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000)
}

fn name(at: usize) -> Arc<str> {
    LIMITS[at].0.into()
}

fn id(at: usize) -> BudgetId {
    BudgetId {
        account: name(at),
        span: "total".into(),
        start: UNIX_EPOCH,
    }
}

impl Holder {
    fn new() -> Self {
        let mut holder = Self::default();
        holder.begin();
        holder
    }

    /// With the budgets that all know.
    fn begin(&mut self) {
        self.book = Book::default();
        (0..ACCOUNTS).for_each(|at| self.set(at, Some(LIMITS[at].1)));
    }

    fn set(&mut self, at: usize, limit: Option<i64>) {
        self.limits[at] = limit;
        let budget = |limit| {
            let budget = format!("{}/total", Money::from_nanos(limit));
            budget.parse::<Budget>().expect("a budget")
        };
        let budgets = limit.map(budget).into_iter().collect();
        self.book.set(name(at), budgets, OnStoreDown::Open.into());
    }

    /// What calls under way hold of an account, those that came at `since` or later.
    fn held(&self, at: usize, since: SystemTime) -> i64 {
        let mine = self
            .open
            .iter()
            .filter(|(of, hold)| of.indices().contains(&at) && since <= hold.at);
        mine.map(|(_, hold)| hold.amount.nanos()).sum()
    }
}

impl World {
    pub(super) fn after(steps: &[Step]) -> Self {
        let mut world = Self::new();
        for step in steps {
            world.step(step);
        }
        world
    }

    pub(super) fn new() -> Self {
        let mut world = Self {
            standings: LIMITS.map(|(_, limit)| Standing::new(limit)),
            holders: (0..HOLDERS).map(|_| Holder::new()).collect(),
            bill: [0; ACCOUNTS],
            overcharge: [0; ACCOUNTS],
            now: Instant::now(),
            clock: at(),
            strict: true,
        };
        (0..HOLDERS).for_each(|i| world.round(i, false));
        world
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Call(i, of, nanos) => {
                if !self.hold(i, of, nanos) {
                    let holder = &mut self.holders[i];
                    let ticket = holder.book.wait(&of.accounts(), Money::from_nanos(nanos));
                    holder.waiting.push((of, nanos, ticket));
                    self.round(i, false);
                }
            }
            Step::Leave(i) => {
                let holder = &mut self.holders[i];
                if !holder.waiting.is_empty() {
                    let (_, _, mut ticket) = holder.waiting.remove(0);
                    let Holder { book, page, .. } = holder;
                    book.leave(&mut ticket, page);
                }
            }
            Step::Settle(i, percent) => self.settle(i, percent),
            Step::Write(i) => self.write(i),
            Step::Round(i, lost) => self.round(i, lost),
            Step::Recall(i) => {
                let now = self.now;
                for at in 0..ACCOUNTS {
                    self.holders[i].book.recall(&id(at), now);
                }
                self.round(i, false);
            }
            Step::Ship(i) => self.ship(i),
            Step::Kill(i) => self.kill(i),
            Step::ClosePast(i) => {
                self.ship(i);
                for past in self.holders[i].past.drain(..) {
                    for (standing, lease) in self.standings.iter_mut().zip(past) {
                        standing.write_off(out(&lease));
                    }
                }
            }
            Step::Pass(seconds) => self.pass(Duration::from_secs(seconds)),
            Step::Open(i, of, nanos) => {
                self.strict = false;
                let (amount, clock, now) = (Money::from_nanos(nanos), self.clock, self.now);
                let Holder {
                    book, page, open, ..
                } = &mut self.holders[i];
                let hold = book.hold_open(&of.accounts(), amount, clock, now, page);
                match hold {
                    Ok(hold) => open.push((of, hold)),
                    Err(short) => {
                        assert!(matches!(short, Short::Never), "it is open: {short:?}");
                        let never = of.indices().any(|at| self.is_never(i, at, nanos));
                        assert!(never, "{nanos} of {of:?} could be paid");
                    }
                }
            }
            Step::Clock(seconds) => {
                let by = Duration::from_secs(seconds.unsigned_abs());
                self.clock = match seconds < 0 {
                    true => self.clock - by,
                    false => self.clock + by,
                };
            }
            Step::Limit(i, at, limit) => {
                self.strict = false;
                self.holders[i].set(at, Some(limit));
            }
            Step::Without(i, at) => {
                self.strict = false;
                self.holders[i].set(at, None);
            }
        }
        self.check();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock += time;
    }

    pub(super) fn hold(&mut self, i: usize, of: Of, nanos: i64) -> bool {
        let holder = &mut self.holders[i];
        let (amount, page) = (Money::from_nanos(nanos), &mut holder.page);
        match holder
            .book
            .hold(&of.accounts(), amount, self.clock, self.now, page)
        {
            Ok(hold) => holder.open.push((of, hold)),
            Err(Short::Unmarked) => unreachable!("memory can be written"),
            Err(_) => return false,
        }
        true
    }

    fn settle(&mut self, i: usize, percent: i64) {
        let holder = &mut self.holders[i];
        if holder.open.is_empty() {
            return;
        }
        let (of, hold) = holder.open.remove(0);
        let worst = hold.amount.nanos();
        let nanos = worst * percent / 100;
        self.strict &= nanos <= worst;
        holder.page.taken += 1;
        let at = hold.at;
        holder.unwritten.push(Paid {
            of,
            nanos,
            worst,
            at,
        });
        for at in of.indices() {
            self.bill[at] += nanos;
        }
        let Holder { book, page, .. } = holder;
        book.settle(
            &of.accounts(),
            hold,
            Money::from_nanos(nanos),
            self.now,
            page,
        );
        book.serve(self.clock, self.now, page);
        self.hear(i);
    }

    fn write(&mut self, i: usize) {
        let holder = &mut self.holders[i];
        holder.page.written = holder.page.taken;
        holder.journal.append(&mut holder.unwritten);
        let Holder { book, page, .. } = holder;
        book.correct_marks(page);
        book.serve(self.clock, self.now, page);
        self.hear(i);
    }

    /// What the keeper and `leases::adjust` do.
    fn round(&mut self, i: usize, lost: bool) {
        let (now, clock) = (self.now, self.clock);
        let holder = &mut self.holders[i];
        let Holder { book, page, .. } = holder;
        book.forget_done(IDLE, clock, now, page);
        let which = Which::All { idle: IDLE };
        let (round, questions) = book.ask(which, clock, now, page.written);
        assert!(!book.is_behind(), "so few fit into one transaction");
        let index = |id: &BudgetId| LIMITS.iter().position(|(name, _)| **name == *id.account);
        let indices: Vec<_> = questions.asks.iter().map(|ask| index(&ask.id)).collect();
        let line = |(ask, at): (&Ask, &Option<usize>)| {
            let at = (*at)?;
            let rows = holder.arrived.iter().filter(|paid| paid.is_of(at));
            let counted = rows.filter(|paid| paid.at >= ask.began);
            let arrived = counted.map(|paid| paid.nanos).sum();
            let (standing, had) = (self.standings[at], holder.leases[at]);
            Some(Line::new(standing, had, true, ask, arrived))
        };
        let mut lines: Vec<_> = questions.asks.iter().zip(&indices).map(line).collect();
        questions.decide(&mut lines, 3);
        let mut starving = Vec::new();
        let mut answers = Vec::new();
        for (line, ask) in lines.iter().flatten().zip(&questions.asks) {
            let at = index(&ask.id).expect("it was found");
            self.standings[at] = line.standing;
            holder.leases[at] = Some(line.lease);
            answers.push((ask.id.clone(), Some(line.answer(round))));
            if line.starving && line.others() > 0 {
                starving.push(ask.id.clone());
            }
        }
        if !lost {
            let Holder { book, page, .. } = holder;
            book.apply(answers);
            let ttl = Duration::from_secs(60);
            book.renew(now + ttl, clock + ttl);
            book.serve(clock, now, page);
        }
        self.hear(i);
        for (other, holder) in self.holders.iter_mut().enumerate() {
            if other != i {
                starving.iter().for_each(|id| holder.book.recall(id, now));
            }
        }
    }

    /// Calls that waited hear what became of them.
    fn hear(&mut self, i: usize) {
        let holder = &mut self.holders[i];
        for (of, nanos, mut ticket) in std::mem::take(&mut holder.waiting) {
            match ticket.told.try_recv() {
                Ok(Ok(hold)) => holder.open.push((of, hold)),
                Ok(Err(_)) => {}
                Err(_) => holder.waiting.push((of, nanos, ticket)),
            }
        }
    }

    /// What `posting::post` does.
    fn ship(&mut self, i: usize) {
        let holder = &mut self.holders[i];
        let mut rows = std::mem::take(&mut holder.past_journal);
        rows.append(&mut holder.journal);
        for paid in &rows {
            for at in paid.of.indices() {
                let all = holder.past.iter_mut().chain([&mut holder.leases]);
                let mut newest = all.filter_map(|leases| leases[at].as_mut()).rev();
                let own = newest.find(|lease| lease.began <= paid.at);
                let leased = own.map_or(0, |lease| lease.take(paid.nanos));
                self.standings[at].post(leased, paid.nanos - leased);
            }
        }
        holder.arrived.append(&mut rows);
    }

    /// What the next process finds: rows that were written; and attempts without an end, which it charges at their worst case.
    fn kill(&mut self, i: usize) {
        let holder = &mut self.holders[i];
        let mut charged: Vec<Paid> = holder.journal.drain(..).collect();
        for paid in holder.unwritten.drain(..) {
            for at in paid.of.indices() {
                self.overcharge[at] += paid.worst - paid.nanos;
            }
            charged.push(Paid {
                nanos: paid.worst,
                ..paid
            });
        }
        for (of, hold) in holder.open.drain(..) {
            let nanos = hold.amount.nanos();
            for at in of.indices() {
                self.bill[at] += nanos;
            }
            charged.push(Paid {
                of,
                nanos,
                worst: nanos,
                at: hold.at,
            });
        }
        let mut leases = std::mem::take(&mut holder.leases);
        for (at, lease) in leases.iter_mut().enumerate() {
            let Some(lease) = lease else { continue };
            let used = holder.page.used.get(&id(at)).copied().unwrap_or(0);
            let keep = used.max(lease.spent).min(lease.size);
            let own = charged.iter().filter(|paid| paid.is_of(at));
            let explained: i64 = own.map(|paid| paid.nanos).sum();
            self.overcharge[at] += (keep - lease.spent - explained).max(0);
            self.standings[at].give_back(lease.size - keep);
            lease.size = keep;
        }
        holder.past.push(leases);
        holder.past_journal.append(&mut charged);
        holder.waiting.clear();
        holder.page = Page::default();
        holder.begin();
        // The next process begins later.
        self.pass(Duration::from_millis(1));
        self.round(i, false);
    }

    /// All calls end, all rows arrive, and all that is idle goes back.
    pub(super) fn come_to_rest(&mut self) {
        for i in 0..HOLDERS {
            while !self.holders[i].waiting.is_empty() {
                self.step(&Step::Leave(i));
            }
            while !self.holders[i].open.is_empty() {
                self.step(&Step::Settle(i, 100));
            }
            self.step(&Step::Write(i));
            self.step(&Step::Ship(i));
            self.step(&Step::ClosePast(i));
            self.step(&Step::Recall(i));
            // An answer before may have been lost.
            self.step(&Step::Recall(i));
        }
    }

    /// All have heard of the same limits.
    pub(super) fn agree(&mut self) {
        for i in 0..HOLDERS {
            for (at, (_, limit)) in LIMITS.into_iter().enumerate() {
                self.holders[i].set(at, Some(limit));
            }
        }
        self.come_to_rest();
    }

    /// Whether a holder may say for good that a budget does not pay `nanos`: that is more than its limit, or what the database and its
    /// own rows say is spent reaches it.
    fn is_never(&self, i: usize, at: usize, nanos: i64) -> bool {
        let holder = &self.holders[i];
        let own = holder.journal.iter().chain(&holder.unwritten);
        let own: i64 = own
            .filter(|paid| paid.is_of(at))
            .map(|paid| paid.nanos)
            .sum();
        let spent = self.standings[at].posted + self.standings[at].excess + own;
        holder.limits[at].is_some_and(|limit| nanos > limit || spent >= limit)
    }

    /// The sum of the rows of a budget that have arrived.
    pub(super) fn ledger(&self, at: usize) -> i64 {
        let rows = self.holders.iter().flat_map(|holder| &holder.arrived);
        rows.filter(|paid| paid.is_of(at))
            .map(|paid| paid.nanos)
            .sum()
    }

    pub(super) fn under_way(&self, i: usize) -> usize {
        self.holders[i].open.len()
    }

    /// What was charged to a budget, and the part of it that is a kill's fault.
    pub(super) fn charged(&self, at: usize) -> (i64, i64) {
        (self.standings[at].posted, self.overcharge[at])
    }

    /// What a call that both pay for may still cost.
    pub(super) fn left(&self) -> i64 {
        (0..ACCOUNTS).map(|at| self.room(at)).min().unwrap_or(0)
    }

    /// What nobody has used of a budget, and nobody can be found to have used, wherever it lies.
    pub(super) fn room(&self, at: usize) -> i64 {
        let used = |holder: &Holder| -> i64 {
            let past = holder.past.iter().map(|past| out(&past[at]));
            let open = holder
                .open
                .iter()
                .map(|(of, hold)| (*of, hold.amount.nanos()));
            let rows = holder.journal.iter().map(|paid| (paid.of, paid.nanos));
            let doubtful = holder.unwritten.iter().map(|paid| (paid.of, paid.worst));
            let mine = |(of, _): &(Of, i64)| of.indices().contains(&at);
            let held = open.chain(rows).chain(doubtful).filter(mine);
            past.sum::<i64>() + held.map(|(_, nanos)| nanos).sum::<i64>()
        };
        let spent = self.standings[at].posted + self.standings[at].excess;
        LIMITS[at].1 - spent - self.holders.iter().map(used).sum::<i64>()
    }

    pub(super) fn nobody_starves(&self) {
        for (of, nanos, _) in self.holders.iter().flat_map(|holder| &holder.waiting) {
            let fits = of.indices().all(|at| *nanos <= self.room(at));
            assert!(
                !fits,
                "a call for {nanos} of {of:?} waits although {:?} are there",
                [self.room(0), self.room(1)]
            );
        }
    }

    fn check(&mut self) {
        for holder in &mut self.holders {
            for at in (0..ACCOUNTS).filter(|at| holder.limits[*at].is_some()) {
                let lease = holder.book.lease(&id(at));
                if let Some((since, held)) = lease.map(|lease| (lease.began, lease.held)) {
                    assert_eq!(held, holder.held(at, since), "what is under way is held");
                }
            }
        }
        for (at, standing) in self.standings.iter().enumerate() {
            let Standing {
                limit,
                posted,
                granted,
                excess,
                ..
            } = *standing;
            let leases = |holder: &Holder| -> i64 {
                let all = holder.past.iter().chain([&holder.leases]);
                all.map(|leases| out(&leases[at])).sum()
            };
            let out: i64 = self.holders.iter().map(leases).sum();
            assert_eq!(granted, out, "what is granted is what is out");
            assert!(posted >= 0 && granted >= 0 && posted + granted <= limit);
            if !self.strict {
                continue;
            }
            assert_eq!(excess, 0, "nobody spent what they had not held");
            let open = self.holders.iter().flat_map(|holder| &holder.open);
            let mine = open.filter(|(of, _)| of.indices().contains(&at));
            let under_way: i64 = mine.map(|(_, hold)| hold.amount.nanos()).sum();
            let billed = self.bill[at] + under_way;
            assert!(billed <= posted + granted, "all that is billed was held");
            assert!(billed <= LIMITS[at].1, "never overspent");
        }
    }
}
