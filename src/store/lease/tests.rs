//! Holders, a database and lost messages, against a reference that knows the truth.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Answer, Book, BudgetId, Marks, Short, Standing, Which, Wish};
use crate::{
    catalog::Money,
    store::{Budget, Hold, OnStoreDown},
};

const HOLDERS: usize = 3;

/// Marks in memory, as a file would have them after a kill.
#[derive(Default)]
struct Page(HashMap<BudgetId, i64>);

impl Marks for Page {
    fn mark(&mut self, _: Option<usize>, id: &BudgetId, used: i64) -> Option<usize> {
        self.0.insert(id.clone(), used);
        Some(0)
    }

    fn forget(&mut self, _: usize) {}
}

/// What the database has of a holder.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    granted: i64,
    spent: i64,
}

struct Holder {
    book: Book,
    page: Page,
    row: Row,
    /// Leases of processes before this one.
    past: Vec<Row>,
    open: Vec<Hold>,
    /// Spent, and on the way to the ledger.
    journal: Vec<i64>,
    /// The same of processes before this one.
    past_journal: Vec<i64>,
}

/// All of them, and the truth.
struct World {
    standing: Standing,
    holders: Vec<Holder>,
    limit: i64,
    /// What providers have billed, and may bill still for what was under way when a holder died.
    bill: i64,
    round: u64,
    now: Instant,
    /// What a kill may charge at its worst case although it was not spent.
    overcharge: i64,
}

#[derive(Debug, Clone)]
enum Step {
    Hold(usize, i64),
    /// The oldest hold ends; it cost so many hundredths of its worst case.
    Settle(usize, i64),
    /// Holder and database speak; the answer may get lost.
    Round(usize, bool),
    Recall(usize),
    Ship(usize),
    /// Killed, at once after what was before, or a while later.
    Kill(usize, bool),
    /// All rows of past processes have arrived.
    ClosePast(usize),
}

fn account() -> [Arc<str>; 1] {
    ["key:k".into()]
}

fn at() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000)
}

fn book(limit: i64) -> Book {
    let budget = format!("{}/total", Money::from_nanos(limit));
    let budget: Budget = budget.parse().expect("a budget");
    let mut book = Book::default();
    book.set(account()[0].clone(), vec![budget], OnStoreDown::Closed);
    book
}

impl World {
    fn new(limit: i64) -> Self {
        let now = Instant::now();
        let holders = (0..HOLDERS).map(|_| Holder {
            book: book(limit),
            page: Page::default(),
            row: Row::default(),
            past: Vec::new(),
            open: Vec::new(),
            journal: Vec::new(),
            past_journal: Vec::new(),
        });
        let mut world = Self {
            standing: Standing::new(limit),
            holders: holders.collect(),
            limit,
            bill: 0,
            round: 0,
            now,
            overcharge: 0,
        };
        for i in 0..HOLDERS {
            world.round(i, false, None);
        }
        world
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Hold(i, nanos) => {
                if !self.hold(i, nanos) {
                    self.round(i, false, Some(nanos));
                    self.hold(i, nanos);
                }
            }
            Step::Settle(i, percent) => {
                let now = self.now;
                let holder = &mut self.holders[i];
                if holder.open.is_empty() {
                    return;
                }
                let hold = holder.open.remove(0);
                let spent = hold.amount.nanos() * percent / 100;
                let spent_money = Money::from_nanos(spent);
                holder
                    .book
                    .settle(&account(), hold, spent_money, now, &mut holder.page);
                holder.journal.push(spent);
                self.bill += spent;
            }
            Step::Round(i, lost) => self.round(i, lost, None),
            Step::Recall(i) => {
                let now = self.now;
                let id = id();
                self.holders[i].book.recall(&id, now);
                self.round(i, false, None);
            }
            Step::Ship(i) => {
                let holder = &mut self.holders[i];
                for nanos in holder.past_journal.drain(..) {
                    let mut left = nanos;
                    for row in &mut holder.past {
                        let taken = left.min(row.granted - row.spent);
                        row.spent += taken;
                        left -= taken;
                    }
                    self.standing.post(nanos - left, left);
                }
                for nanos in holder.journal.drain(..) {
                    let leased = nanos.min(holder.row.granted - holder.row.spent);
                    holder.row.spent += leased;
                    self.standing.post(leased, nanos - leased);
                }
            }
            Step::Kill(i, later) => {
                let limit = self.limit;
                self.now += Duration::from_millis(if later { 200 } else { 0 });
                let now = self.now;
                let holder = &mut self.holders[i];
                if later {
                    holder.book.correct_marks(now, &mut holder.page);
                }
                let truly = holder.book.lease(&id()).map_or(0, |lease| lease.used());
                // The provider bills what was under way, all of it at worst, and no row will ever say so.
                self.bill += holder.open.iter().map(|h| h.amount.nanos()).sum::<i64>();
                let used = holder.page.0.get(&id()).copied().unwrap_or(0);
                let mut row = std::mem::take(&mut holder.row);
                let keep = used.max(row.spent).min(row.granted);
                self.overcharge += (keep - truly).max(0);
                self.standing.give_back(row.granted - keep);
                row.granted = keep;
                holder.past.push(row);
                holder.past_journal.append(&mut holder.journal);
                holder.open.clear();
                holder.page = Page::default();
                holder.book = book(limit);
                self.round(i, false, None);
            }
            Step::ClosePast(i) => {
                self.step(&Step::Ship(i));
                for row in self.holders[i].past.drain(..) {
                    self.standing.write_off(row.granted - row.spent);
                }
            }
        }
        self.check();
    }

    fn hold(&mut self, i: usize, nanos: i64) -> bool {
        let now = self.now;
        let holder = &mut self.holders[i];
        let amount = Money::from_nanos(nanos);
        match holder
            .book
            .hold(&account(), amount, at(), now, &mut holder.page)
        {
            Ok(hold) => holder.open.push(hold),
            Err(Short::Unmarked) => unreachable!("memory can be written"),
            Err(_) => return false,
        }
        true
    }

    /// What `leases::adjust` does, in a line each.
    fn round(&mut self, i: usize, lost: bool, need: Option<i64>) {
        self.round += 1;
        let now = self.now;
        let holder = &mut self.holders[i];
        if let Some(nanos) = need {
            holder.book.wait(&account(), Money::from_nanos(nanos), 1);
        }
        let idle = Duration::from_secs(10);
        for id in holder.book.due(Which::All { idle }, at(), now) {
            let lease = holder.book.lease(&id).expect("it is due");
            let row = &mut holder.row;
            let arrived = row.spent == row.granted;
            if lease.keep() < lease.size() {
                let size = lease.keep().max(row.spent).min(row.granted);
                self.standing.give_back(row.granted - size);
                row.granted = size;
            } else {
                row.granted += self.standing.grant(&lease.wish(now), 3);
            }
            let answer = Answer {
                standing: self.standing,
                size: row.granted,
                shipped: row.spent,
                arrived,
                round: self.round,
            };
            if !lost {
                holder.book.apply([(id, answer)]);
            }
        }
        if !lost {
            holder.book.renew(now + Duration::from_secs(60));
        }
        holder.book.leave(&account(), 1);
    }

    fn check(&self) {
        let Standing {
            limit,
            posted,
            granted,
            excess,
            ..
        } = self.standing;
        let rows = self
            .holders
            .iter()
            .flat_map(|h| h.past.iter().chain([&h.row]));
        let out: i64 = rows.map(|row| row.granted - row.spent).sum();
        assert_eq!(granted, out, "what is granted is what is out");
        assert!(posted >= 0 && granted >= 0 && posted + granted <= limit);
        assert_eq!(excess, 0, "nobody spent what they had not held");
        let under_way: i64 = self
            .holders
            .iter()
            .flat_map(|h| &h.open)
            .map(|h| h.amount.nanos())
            .sum();
        assert!(
            self.bill + under_way <= posted + granted,
            "all that is billed was held"
        );
        assert!(self.bill + under_way <= self.limit, "never overspent");
    }
}

fn id() -> BudgetId {
    BudgetId {
        account: account()[0].clone(),
        span: "total".into(),
        start: UNIX_EPOCH,
    }
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..HOLDERS;
    prop_oneof![
        6 => (who.clone(), 1..120_i64).prop_map(|(i, n)| Step::Hold(i, n)),
        5 => (who.clone(), 0..=100_i64).prop_map(|(i, n)| Step::Settle(i, n)),
        2 => (who.clone(), any::<bool>()).prop_map(|(i, lost)| Step::Round(i, lost)),
        2 => who.clone().prop_map(Step::Recall),
        3 => who.clone().prop_map(Step::Ship),
        1 => (who.clone(), any::<bool>()).prop_map(|(i, later)| Step::Kill(i, later)),
        1 => who.prop_map(Step::ClosePast),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn holders_never_overspend_whatever_is_lost(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new(1_000);
        for step in &steps {
            world.step(step);
        }
        // At rest nothing is reserved, and nothing was lost.
        for i in 0..HOLDERS {
            while !world.holders[i].open.is_empty() {
                world.step(&Step::Settle(i, 100));
            }
            world.step(&Step::Ship(i));
            world.step(&Step::ClosePast(i));
            world.step(&Step::Recall(i));
            // An answer before may have been lost.
            world.step(&Step::Recall(i));
        }
        prop_assert_eq!(world.standing.granted, 0);
        let charged = world.standing.posted;
        prop_assert!(world.bill <= charged && charged <= world.bill + world.overcharge);
        // All that is left can be spent.
        let left = world.limit - charged;
        if left > 0 {
            world.step(&Step::Hold(0, left));
            prop_assert_eq!(world.holders[0].open.len(), 1);
        }
    }

    #[test]
    fn a_standing_keeps_its_promise(
        limit in 0..1_000_i64,
        moves in prop::collection::vec((0..5_u8, 0..400_i64), 0..60),
    ) {
        let mut standing = Standing::new(limit);
        let (mut total, mut wanted) = (0, limit);
        for (what, n) in moves {
            match what {
                0 => {
                    let wish = Wish { needs: vec![n, n / 2], slice: n };
                    let before = standing.granted;
                    let granted = standing.grant(&wish, 2);
                    prop_assert_eq!(standing.granted, before + granted);
                    prop_assert!(granted == 0 || standing.target.is_none());
                }
                1 => standing.give_back(n.min(standing.granted)),
                2 => {
                    let leased = n.min(standing.granted);
                    standing.post(leased, n - leased);
                    total += n;
                }
                3 => {
                    standing.set_limit(n);
                    wanted = n;
                }
                _ => {
                    let lost = n.min(standing.granted);
                    standing.write_off(lost);
                    total += lost;
                }
            }
            let Standing { limit, posted, granted, excess, .. } = standing;
            prop_assert!(posted >= 0 && granted >= 0 && excess >= 0 && posted + granted <= limit);
            prop_assert_eq!(posted + excess, total);
            prop_assert_eq!(standing.wanted_limit(), wanted);
            prop_assert!(limit == wanted || posted + granted == limit, "as low as it can be");
        }
    }
}

#[test]
fn a_lease_is_good_for_its_time_and_not_longer() {
    let mut world = World::new(1_000);
    assert!(!world.hold(0, 10), "nothing is granted");
    world.step(&Step::Hold(0, 100));
    world.step(&Step::Settle(0, 0));
    assert!(world.hold(0, 50));
    world.now += Duration::from_secs(60);
    assert!(!world.hold(0, 50), "not renewed");
    world.round(0, true, None);
    assert!(!world.hold(0, 50), "the answer was lost");
    world.round(0, false, None);
    // What was idle for long has gone back meanwhile.
    world.step(&Step::Hold(0, 50));
    assert_eq!(world.holders[0].open.len(), 2);
}

#[test]
fn a_window_begins_with_nothing_and_the_one_before_is_given_back() {
    let now = Instant::now();
    let mut page = Page::default();
    let mut book = Book::default();
    let budget = "0.000001/day".parse().expect("a budget");
    book.set(account()[0].clone(), vec![budget], OnStoreDown::Closed);
    let grant = |book: &mut Book, at, size| {
        for id in book.due(
            Which::All {
                idle: Duration::from_secs(10),
            },
            at,
            now,
        ) {
            let answer = Answer {
                standing: Standing {
                    granted: size,
                    ..Standing::new(1_000)
                },
                size,
                shipped: 0,
                arrived: false,
                round: 1,
            };
            book.apply([(id, answer)]);
        }
        book.renew(now + Duration::from_secs(60));
    };
    grant(&mut book, at(), 500);
    let amount = Money::from_nanos(200);
    let late = book
        .hold(&account(), amount, at(), now, &mut page)
        .expect("it was granted");
    let tomorrow = at() + Duration::from_secs(86_400);
    let early = book.hold(&account(), amount, tomorrow, now, &mut page);
    assert!(matches!(early, Err(Short::Now)), "a new day");
    // A clock that is set back gives no day anew.
    assert!(book.hold(&account(), amount, at(), now, &mut page).is_err());
    let due = book.due(
        Which::All {
            idle: Duration::from_secs(10),
        },
        tomorrow,
        now,
    );
    assert_eq!(due.len(), 2, "today's is asked for, yesterday's goes back");
    let yesterday = book.lease(&due[0]).expect("it is there");
    assert_eq!(yesterday.keep(), 200, "what is held stays");
    book.settle(&account(), late, Money::from_nanos(10), now, &mut page);
    assert_eq!(book.lease(&due[0]).expect("it is there").used(), 10);
    assert_eq!(book.lease(&due[1]).expect("it is there").used(), 0);
}
