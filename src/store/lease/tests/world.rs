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
        Budget, Hold,
        lease::{Book, BudgetId, Granted, Line, Marks, Short, Standing, Ticket, Which},
    },
};

const HOLDERS: usize = 3;
/// The accounts, and the limits of their budgets.
pub(super) const ACCOUNTS: usize = 2;
const LIMITS: [(&str, i64); ACCOUNTS] = [("global", 1_300), ("key:k", 1_000)];

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

/// What one call has cost, and what it would have at worst.
#[derive(Clone, Copy)]
struct Paid {
    of: Of,
    nanos: i64,
    worst: i64,
}

#[derive(Default)]
struct Holder {
    book: Book,
    page: Page,
    leases: [Granted; ACCOUNTS],
    /// Leases of processes before this one.
    past: Vec<[Granted; ACCOUNTS]>,
    open: Vec<(Of, Hold)>,
    waiting: Vec<(Of, i64, Ticket)>,
    /// Rows that the ledger has taken and not written.
    unwritten: Vec<Paid>,
    /// Rows on their way to the database.
    journal: Vec<Paid>,
    /// The same of processes before this one.
    past_journal: Vec<Paid>,
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
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let who = 0..HOLDERS;
    let of = prop_oneof![
        Just(Of::Global),
        Just(Of::Key),
        Just(Of::Both),
        Just(Of::Both)
    ];
    prop_oneof![
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

fn book() -> Book {
    let mut book = Book::default();
    for (name, limit) in LIMITS {
        let budget = format!("{}/total", Money::from_nanos(limit));
        let budget: Budget = budget.parse().expect("a budget");
        book.set(name.into(), vec![budget], None);
    }
    book
}

impl World {
    pub(super) fn new() -> Self {
        let holder = || Holder {
            book: book(),
            ..Holder::default()
        };
        let mut world = Self {
            standings: LIMITS.map(|(_, limit)| Standing::new(limit)),
            holders: (0..HOLDERS).map(|_| holder()).collect(),
            bill: [0; ACCOUNTS],
            overcharge: [0; ACCOUNTS],
            now: Instant::now(),
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
                        standing.write_off(lease.size - lease.spent);
                    }
                }
            }
        }
        self.check();
    }

    pub(super) fn hold(&mut self, i: usize, of: Of, nanos: i64) -> bool {
        let holder = &mut self.holders[i];
        let (amount, page) = (Money::from_nanos(nanos), &mut holder.page);
        match holder
            .book
            .hold(&of.accounts(), amount, at(), self.now, page)
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
        holder.page.taken += 1;
        holder.unwritten.push(Paid { of, nanos, worst });
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
        book.serve(at(), self.now, page);
        self.hear(i);
    }

    fn write(&mut self, i: usize) {
        let holder = &mut self.holders[i];
        holder.page.written = holder.page.taken;
        holder.journal.append(&mut holder.unwritten);
        let Holder { book, page, .. } = holder;
        book.correct_marks(page);
        book.serve(at(), self.now, page);
        self.hear(i);
    }

    /// What `leases::adjust` does.
    fn round(&mut self, i: usize, lost: bool) {
        let now = self.now;
        let holder = &mut self.holders[i];
        let idle = Duration::from_secs(10);
        let (round, all) = holder
            .book
            .ask(Which::All { idle }, at(), now, holder.page.written);
        let mut starving = Vec::new();
        for questions in all {
            let index = |id: &BudgetId| LIMITS.iter().position(|(name, _)| **name == *id.account);
            let indices: Vec<_> = questions.asks.iter().map(|ask| index(&ask.id)).collect();
            let line = |at: &Option<usize>| {
                let at = (*at)?;
                Some(Line::new(self.standings[at], holder.leases[at], true))
            };
            let mut lines: Vec<_> = indices.iter().map(line).collect();
            questions.decide(&mut lines, 3);
            let mut answers = Vec::new();
            for (line, ask) in lines.iter().flatten().zip(&questions.asks) {
                let at = index(&ask.id).expect("it was found");
                self.standings[at] = line.standing;
                holder.leases[at] = line.lease;
                answers.push((ask.id.clone(), line.answer(round)));
                if line.starving && line.others() > 0 {
                    starving.push(ask.id.clone());
                }
            }
            if !lost {
                holder.book.apply(answers);
            }
        }
        if !lost {
            let Holder { book, page, .. } = holder;
            book.renew(now + Duration::from_secs(60));
            book.serve(at(), now, page);
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

    fn ship(&mut self, i: usize) {
        let holder = &mut self.holders[i];
        for paid in holder.past_journal.drain(..) {
            for at in paid.of.indices() {
                let mut left = paid.nanos;
                for lease in holder.past.iter_mut().map(|past| &mut past[at]) {
                    let taken = left.min(lease.size - lease.spent);
                    lease.spent += taken;
                    left -= taken;
                }
                self.standings[at].post(paid.nanos - left, left);
            }
        }
        for paid in holder.journal.drain(..) {
            for at in paid.of.indices() {
                let lease = &mut holder.leases[at];
                let leased = paid.nanos.min(lease.size - lease.spent);
                lease.spent += leased;
                self.standings[at].post(leased, paid.nanos - leased);
            }
        }
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
            });
        }
        let mut leases = std::mem::take(&mut holder.leases);
        for (at, lease) in leases.iter_mut().enumerate() {
            let used = holder.page.used.get(&id(at)).copied().unwrap_or(0);
            let keep = used.max(lease.spent).min(lease.size);
            let of = |paid: &&Paid| paid.of.indices().contains(&at);
            let explained: i64 = charged.iter().filter(of).map(|paid| paid.nanos).sum();
            self.overcharge[at] += (keep - lease.spent - explained).max(0);
            self.standings[at].give_back(lease.size - keep);
            lease.size = keep;
        }
        holder.past.push(leases);
        holder.past_journal.append(&mut charged);
        holder.waiting.clear();
        holder.page = Page::default();
        holder.book = book();
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

    pub(super) fn under_way(&self, i: usize) -> usize {
        self.holders[i].open.len()
    }

    /// What was charged to a budget, and the part of it that is a kill's fault.
    pub(super) fn charged(&self, at: usize) -> (i64, i64) {
        (self.standings[at].posted, self.overcharge[at])
    }

    /// What nobody has used of a budget, and nobody can be found to have used, wherever it lies.
    pub(super) fn room(&self, at: usize) -> i64 {
        let used = |holder: &Holder| -> i64 {
            let past = holder
                .past
                .iter()
                .map(|past| past[at].size - past[at].spent);
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
        LIMITS[at].1 - self.standings[at].posted - self.holders.iter().map(used).sum::<i64>()
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

    fn check(&self) {
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
                all.map(|leases| leases[at].size - leases[at].spent).sum()
            };
            let out: i64 = self.holders.iter().map(leases).sum();
            assert_eq!(granted, out, "what is granted is what is out");
            assert!(posted >= 0 && granted >= 0 && posted + granted <= limit);
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
