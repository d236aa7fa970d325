//! Holders, a database and lost messages, against a reference that knows the truth.

mod world;

use std::{
    slice::from_ref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Answer, Book, BudgetId, Granted, Line, Need, Questions, Short, Standing, Which};
use crate::{
    catalog::Money,
    store::{Budget, Hold, OnStoreDown},
};
use world::{ACCOUNTS, HOLDERS, Of, Page, Step, World, at, step, wild_step};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn holders_never_overspend_whatever_is_lost(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::after(&steps);
        world.come_to_rest();
        for at in 0..ACCOUNTS {
            let (charged, overcharge) = world.charged(at);
            let bill = world.bill[at];
            prop_assert_eq!(world.standings[at].granted, 0);
            prop_assert!(bill <= charged && charged <= bill + overcharge, "{bill} {charged} {overcharge}");
        }
        // All that is left can be spent.
        let left = world.left();
        if left > 0 {
            world.step(&Step::Call(0, Of::Both, left));
            prop_assert_eq!(world.under_way(0), 1);
        }
    }

    #[test]
    fn what_was_spent_counts_once_whatever_was_held_without_a_lease(steps in prop::collection::vec(wild_step(), 1..120)) {
        let mut world = World::after(&steps);
        world.come_to_rest();
        world.agree();
        for at in 0..ACCOUNTS {
            let Standing { granted, posted, excess, unexplained, .. } = world.standings[at];
            prop_assert_eq!((granted, unexplained), (0, 0));
            prop_assert_eq!(posted + excess, world.ledger(at));
        }
        // Whoever wants it can spend all that is left.
        let left = world.left();
        for i in 0..HOLDERS {
            if left > 0 {
                world.step(&Step::Call(i, Of::Both, left));
                prop_assert_eq!(world.under_way(i), 1, "{} of {:?}", left, world.standings);
                world.step(&Step::Settle(i, 0));
                world.step(&Step::Write(i));
                world.step(&Step::Recall(i));
            }
        }
    }

    #[test]
    fn nobody_waits_for_what_is_there(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::after(&steps);
        for _ in 0..4 {
            world.step(&Step::Round(0, false));
            world.step(&Step::Round(1, false));
            world.step(&Step::Round(2, false));
        }
        world.nobody_starves();
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
                    let granted = n.min(standing.room()).max(0);
                    standing.granted += granted;
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
    let mut world = World::new();
    assert!(!world.hold(0, Of::Both, 10), "nothing is granted");
    world.step(&Step::Call(0, Of::Both, 100));
    world.step(&Step::Settle(0, 0));
    world.step(&Step::Write(0));
    assert!(world.hold(0, Of::Both, 50));
    world.now += Duration::from_secs(60);
    assert!(!world.hold(0, Of::Both, 50), "not renewed");
    world.step(&Step::Round(0, true));
    assert!(!world.hold(0, Of::Both, 50), "the answer was lost");
    world.step(&Step::Round(0, false));
    // What was idle for long has gone back meanwhile.
    world.step(&Step::Call(0, Of::Both, 50));
    assert_eq!(world.under_way(0), 2);
}

#[test]
fn what_two_calls_lack_goes_to_one_of_them() {
    let mut world = World::new();
    // Each holder has what the other lacks.
    world.step(&Step::Call(0, Of::Global, 900));
    world.step(&Step::Call(1, Of::Key, 900));
    for i in [0, 1] {
        world.step(&Step::Settle(i, 0));
        world.step(&Step::Write(i));
    }
    world.step(&Step::Call(0, Of::Both, 800));
    world.step(&Step::Call(1, Of::Both, 800));
    for i in [0, 1, 0, 1] {
        world.step(&Step::Round(i, false));
    }
    assert_eq!(world.under_way(0) + world.under_way(1), 1);
}

#[test]
fn a_window_begins_with_nothing_and_the_one_before_is_given_back() {
    let (now, accounts): (_, [Arc<str>; 1]) = (Instant::now(), ["key:k".into()]);
    let mut page = Page::default();
    let mut book = Book::default();
    let budget = "0.000001/day".parse().expect("a budget");
    book.set(accounts[0].clone(), vec![budget], None);
    let ask = |book: &mut Book, at| book.ask(ALL, at, now, 0).1.asks;
    let amount = Money::from_nanos(200);
    let first = book.hold(&accounts, amount, at(), now, &mut page);
    assert!(matches!(first, Err(Short::Now)), "nothing is granted");
    for ask in ask(&mut book, at()) {
        book.apply([(ask.id, granted(500, 1))]);
    }
    book.renew(now + Duration::from_secs(60), next_week());
    let late = book
        .hold(&accounts, amount, at(), now, &mut page)
        .expect("it was granted");
    let tomorrow = at() + Duration::from_secs(86_400);
    let early = book.hold(&accounts, amount, tomorrow, now, &mut page);
    assert!(matches!(early, Err(Short::Now)), "a new day");
    // A clock that is set back gives no day anew.
    assert!(book.hold(&accounts, amount, at(), now, &mut page).is_err());
    let _waiting = book.wait(&accounts, amount);
    let due = ask(&mut book, tomorrow);
    assert_eq!(due.len(), 2, "today's is asked for, yesterday's goes back");
    assert_eq!(due[0].keep, 200, "what is held stays");
    book.settle(&accounts, late, Money::from_nanos(10), now, &mut page);
    assert_eq!(book.lease(&due[0].id).expect("it is there").tied(), 10);
    assert_eq!(book.lease(&due[1].id).expect("it is there").tied(), 0);
    book.apply([(due[1].id.clone(), granted(500, 9))]);
    let today = book.hold(&accounts, Money::from_nanos(400), tomorrow, now, &mut page);
    assert!(
        today.is_ok(),
        "what yesterday's lease has left is no matter"
    );
}

/// A lease of `size`, as the database tells it.
fn granted(size: i64, round: u64) -> Option<Answer> {
    Some(Answer {
        standing: Standing {
            granted: size,
            ..Standing::new(1_000)
        },
        size,
        shipped: 0,
        beyond: 0,
        open: true,
        round,
    })
}

/// By the wall's clock, leases are good until then.
fn next_week() -> SystemTime {
    at() + Duration::from_secs(7 * 86_400)
}

const ALL: Which = Which::All {
    idle: Duration::from_secs(10),
};

/// A holder of one account, and the database as it knows its lease.
struct Alone {
    book: Book,
    page: Page,
    standing: Standing,
    lease: Option<Granted>,
    now: Instant,
}

const KEY: &str = "key:k";

fn budgets(limit: i64) -> Vec<Budget> {
    let budget = format!("{}/day", Money::from_nanos(limit));
    vec![budget.parse().expect("a budget")]
}

impl Alone {
    fn new(limit: i64) -> Self {
        let mut alone = Self {
            book: Book::default(),
            page: Page::default(),
            standing: Standing::new(limit),
            lease: None,
            now: Instant::now(),
        };
        alone.set(limit);
        alone
    }

    fn set(&mut self, limit: i64) {
        self.book.set(KEY.into(), budgets(limit), None);
    }

    /// A row of the lease arrives at the database.
    fn arrive(&mut self, nanos: i64) {
        let lease = self.lease.as_mut().expect("a lease");
        let leased = lease.take(nanos);
        self.standing.post(leased, nanos - leased);
    }

    fn forget_done(&mut self, clock: SystemTime) {
        let Self {
            book, page, now, ..
        } = self;
        book.forget_done(Duration::from_secs(10), clock, *now, page);
    }

    fn hold(&mut self, nanos: i64, clock: SystemTime) -> Result<Hold, Short> {
        let Self {
            book, page, now, ..
        } = self;
        book.hold(&[KEY.into()], Money::from_nanos(nanos), clock, *now, page)
    }

    /// Holds what it has to ask for.
    fn wait(&mut self, nanos: i64, clock: SystemTime) -> Hold {
        assert!(matches!(self.hold(nanos, clock), Err(Short::Now)));
        let mut ticket = self.book.wait(&[KEY.into()], Money::from_nanos(nanos));
        self.round(ALL, clock);
        let told = ticket.told.try_recv().expect("it was told");
        told.expect("it was granted")
    }

    fn settle(&mut self, hold: Hold, nanos: i64) {
        let Self {
            book, page, now, ..
        } = self;
        book.settle(&[KEY.into()], hold, Money::from_nanos(nanos), *now, page);
    }

    fn ask(&mut self, which: Which, clock: SystemTime) -> (u64, Questions) {
        self.book.ask(which, clock, self.now, 0)
    }

    /// What the database says, with `others` in mind: it has one budget for all windows here.
    fn decide(&mut self, questions: &Questions) -> Option<Line> {
        let ask = questions.asks.last()?;
        let mut lines = [Some(Line::new(self.standing, self.lease, true, ask, 0))];
        let need = |need: &Need| need.values().map(|nanos| (0, *nanos)).collect();
        let questions = Questions {
            asks: vec![ask.clone()],
            needs: questions.needs.iter().map(need).collect(),
        };
        questions.decide(&mut lines, 1);
        let [line] = lines;
        let line = line?;
        (self.standing, self.lease) = (line.standing, Some(line.lease));
        Some(line)
    }

    fn hear(&mut self, questions: &Questions, line: &Line, round: u64, clock: SystemTime) {
        let id = questions.asks.last().map(|ask| ask.id.clone());
        self.book.apply(id.map(|id| (id, Some(line.answer(round)))));
        self.book
            .renew(self.now + Duration::from_secs(60), next_week());
        self.book.serve(clock, self.now, &mut self.page);
    }

    fn round(&mut self, which: Which, clock: SystemTime) {
        let (round, questions) = self.ask(which, clock);
        if let Some(line) = self.decide(&questions) {
            self.hear(&questions, &line, round, clock);
        }
    }
}

#[test]
fn a_new_limit_is_told_whatever_is_answered_to_what_was_asked_before() {
    let mut alone = Alone::new(100);
    let held = alone.wait(10, at());
    alone.book.recall(&id(at()), alone.now);
    let (round, before) = alone.ask(Which::Hot, at());
    let line = alone.decide(&before).expect("it was asked");
    alone.set(50);
    alone.hear(&before, &line, round, at());
    alone.settle(held, 0);
    let (_, next) = alone.ask(Which::Hot, at());
    let told: Vec<_> = next.asks.iter().map(|a| (a.announce, a.limit)).collect();
    assert_eq!(told, [(true, 50)]);
}

#[test]
fn a_lease_that_is_larger_than_a_new_limit_pays_no_more_than_the_limit() {
    let mut alone = Alone::new(100);
    let held = alone.wait(60, at());
    alone.settle(held, 0);
    alone.set(5);
    alone.hold(4, at()).expect("it fits");
    assert!(matches!(alone.hold(4, at()), Err(Short::Now)), "8 of 5");
    alone.round(Which::Hot, at());
    let out = alone.lease.expect("a lease").size;
    assert!(out <= 5, "what the limit does not allow goes back: {out}");
    assert_eq!((alone.standing.limit, alone.standing.target), (5, None));
}

#[test]
fn who_has_not_heard_of_a_new_limit_does_not_undo_it() {
    let tomorrow = at() + Duration::from_secs(86_400);
    for stale_first in [true, false] {
        let (mut stale, mut other) = (Alone::new(10), Alone::new(10));
        for holder in [&mut stale, &mut other] {
            let held = holder.wait(1, at());
            holder.settle(held, 0);
        }
        other.set(5);
        other.standing = stale.standing;
        other.round(Which::Hot, at());
        assert_eq!(other.standing.wanted_limit(), 5);
        let mut standing = Standing::new(other.standing.wanted_limit());
        let mut order = [&mut stale, &mut other];
        if !stale_first {
            order.reverse();
        }
        for holder in order {
            // Both are used: each asks for a lease of the new day.
            (holder.standing, holder.lease) = (standing, None);
            let held = holder.wait(1, tomorrow);
            holder.settle(held, 0);
            standing = holder.standing;
        }
        assert_eq!(standing.wanted_limit(), 5);
    }
}

#[test]
fn the_tick_asks_nothing_of_accounts_that_nobody_uses() {
    let mut alone = Alone::new(10);
    assert!(alone.ask(ALL, at()).1.asks.is_empty());
    let held = alone.wait(1, at());
    alone.settle(held, 0);
    alone.now += Duration::from_secs(20);
    let tomorrow = at() + Duration::from_secs(86_400);
    alone.round(ALL, tomorrow);
    assert_eq!(alone.standing.granted, 0, "it has gone back");
    assert!(alone.ask(ALL, tomorrow).1.asks.is_empty());
}

#[test]
fn a_lease_is_remembered_until_it_is_known_what_it_has() {
    let mut alone = Alone::new(10);
    assert!(alone.hold(5, at()).is_err());
    let mut ticket = alone.book.wait(&[KEY.into()], Money::from_nanos(5));
    let (_, questions) = alone.ask(ALL, at());
    alone.decide(&questions).expect("it was asked");
    assert_eq!(alone.standing.granted, 5, "and the answer gets lost");
    alone.book.leave(&mut ticket, &mut alone.page);
    let idle = Duration::from_secs(20);
    alone.now += idle;
    let (book, page) = (&mut alone.book, &mut alone.page);
    book.forget_done(idle / 2, at() + idle, alone.now, page);
    for _ in 0..2 {
        alone.round(ALL, at() + idle);
    }
    assert_eq!(alone.standing.granted, 0, "nobody would give it back");
}

#[test]
fn a_window_that_the_database_never_knew_is_forgotten_and_sets_no_clock_back() {
    let mut alone = Alone::new(100);
    alone
        .book
        .set(KEY.into(), budgets(100), OnStoreDown::Open.into());
    let Alone {
        book, page, now, ..
    } = &mut alone;
    let amount = Money::from_nanos(10);
    let open = book.hold_open(&[KEY.into()], amount, at(), *now, page);
    let tomorrow = at() + Duration::from_secs(86_400);
    alone.settle(open.expect("it is open"), 10);
    alone.now += Duration::from_secs(20);
    let (_, questions) = alone.ask(ALL, tomorrow);
    let asked: Vec<_> = questions.asks.into_iter().map(|ask| ask.id).collect();
    assert_eq!(asked, [id(at())]);
    alone.book.apply([(id(at()), None)]);
    assert_eq!(alone.book.time(at()), tomorrow, "yesterday does not return");
    alone.now += Duration::from_secs(20);
    let asked = alone.ask(ALL, tomorrow).1.asks;
    assert!(asked.is_empty(), "nothing is left to say: {asked:?}");
    alone.forget_done(tomorrow);
    assert!(alone.book.lease(&id(at())).is_none());
}

#[test]
fn a_row_that_arrives_before_its_call_is_settled_counts_once() {
    let mut alone = Alone::new(100);
    let held = alone.wait(10, at());
    alone.arrive(10);
    alone.book.recall(&id(at()), alone.now);
    alone.round(Which::Hot, at());
    alone.settle(held, 10);
    let (balance, _) = alone.book.balances(KEY, at()).remove(0);
    assert_eq!(balance.posted.nanos(), 10);
    let all = alone.wait(90, at());
    alone.settle(all, 90);
}

#[test]
fn a_lease_is_good_no_longer_for_a_computer_that_sleeps() {
    let mut alone = Alone::new(100);
    let held = alone.wait(10, at());
    alone.settle(held, 0);
    alone.book.renew(
        alone.now + Duration::from_secs(60),
        at() + Duration::from_secs(60),
    );
    alone
        .hold(1, at() + Duration::from_secs(59))
        .expect("it is good");
    let held = alone.hold(1, at() + Duration::from_secs(60));
    assert!(matches!(held, Err(Short::Now)), "{held:?}");
}

#[test]
fn a_budget_that_is_spent_says_so_while_the_database_is_away() {
    let mut alone = Alone::new(10);
    let held = alone.wait(10, at());
    alone.settle(held, 10);
    alone.arrive(10);
    for _ in 0..3 {
        alone.now += Duration::from_secs(20);
        alone.round(ALL, at() + Duration::from_secs(1));
        alone.forget_done(at() + Duration::from_secs(1));
    }
    let held = alone.hold(1, at());
    assert!(matches!(held, Err(Short::Never)), "{held:?}");
    alone.forget_done(at() + Duration::from_secs(86_400));
    assert!(alone.book.lease(&id(at())).is_none(), "its window is over");
}

#[test]
fn idle_users_are_forgotten_and_what_they_have_spent_is_not() {
    const USERS: usize = 10_000;
    let (mut book, mut page, now) = (Book::default(), Page::default(), Instant::now());
    let names: Vec<Arc<str>> = (0..USERS).map(|n| format!("user:t/{n}").into()).collect();
    let budget: Budget = "0.000001/day".parse().expect("a budget");
    let amount = Money::from_nanos(600);
    for name in &names {
        book.set(name.clone(), vec![budget.clone()], None);
        let mut ticket = book.wait(from_ref(name), amount);
        let (round, questions) = book.ask(Which::Hot, at(), now, 0);
        assert_eq!(questions.asks.len(), 1);
        let answers = questions.asks.into_iter();
        book.apply(answers.map(|ask| (ask.id, granted(600, round))));
        book.renew(now + Duration::from_secs(60), next_week());
        book.serve(at(), now, &mut page);
        let told = ticket.told.try_recv().expect("it was told");
        let held = told.expect("it was granted");
        book.settle(from_ref(name), held, amount, now, &mut page);
    }
    // The proxy has no use for them any more, and the database says that all has arrived.
    names
        .iter()
        .for_each(|name| book.set(name.clone(), Vec::new(), None));
    let later = (
        at() + Duration::from_secs(20),
        now + Duration::from_secs(20),
    );
    let spent = Standing {
        posted: 600,
        ..Standing::new(1_000)
    };
    loop {
        let (round, questions) = book.ask(ALL, later.0, later.1, 0);
        assert!(questions.asks.len() <= 200, "one transaction");
        let answer = Answer {
            standing: spent,
            size: 600,
            shipped: 600,
            beyond: 0,
            open: true,
            round,
        };
        let asked = questions.asks.into_iter();
        book.apply(asked.map(|ask| (ask.id, Some(answer))));
        if !book.is_behind() {
            break;
        }
    }
    for _ in 0..USERS / 200 {
        let before = book.accounts.len();
        book.forget_done(Duration::from_secs(10), later.0, later.1, &mut page);
        let forgotten = before - book.accounts.len();
        assert!(forgotten <= 300, "calls wait meanwhile: {forgotten}");
    }
    assert_eq!(book.accounts.len(), 0);

    let name = &names[0];
    book.set(name.clone(), vec![budget], None);
    let held = book.hold(from_ref(name), amount, later.0, later.1, &mut page);
    assert!(matches!(held, Err(Short::Now)));
    let mut ticket = book.wait(from_ref(name), amount);
    let (round, questions) = book.ask(Which::Hot, later.0, later.1, 0);
    let ask = &questions.asks[0];
    let had = Granted {
        began: at(),
        size: 600,
        spent: 600,
        beyond: 0,
    };
    let mut lines = [Some(Line::new(spent, Some(had), true, ask, 0))];
    questions.decide(&mut lines, 1);
    let line = lines[0].as_ref().expect("it is there");
    assert_eq!(line.lease.size, 0, "600 of 1,000 are spent");
    book.apply([(ask.id.clone(), Some(line.answer(round)))]);
    book.serve(later.0, later.1, &mut page);
    let told = ticket.told.try_recv().expect("nobody has anything");
    assert!(matches!(told, Err(Short::Now)), "{told:?}");
}

/// A lease of which nothing is left to give back is asked about as well, where an answer was lost.
#[test]
fn who_leaves_asks_for_nothing_more() {
    let mut alone = Alone::new(100);
    let held = alone.wait(10, at());
    alone.settle(held, 10);
    for (which, wants) in [(ALL, true), (Which::Leaving, false), (Which::Hot, false)] {
        alone.book.hot.insert(KEY.into());
        alone.book.lease(&id(at())).expect("a lease").ask();
        let (_, questions) = alone.ask(which, at());
        let [ask] = &questions.asks[..] else {
            unreachable!("{which:?}: {questions:?}")
        };
        assert_eq!(ask.slice > 0, wants, "{which:?}: {ask:?}");
    }
}

#[test]
fn a_clock_that_was_wrong_once_closes_no_budget() {
    let mut alone = Alone::new(100);
    let held = alone.wait(10, at());
    let tomorrow = at() + Duration::from_secs(86_400);
    assert!(alone.hold(1, tomorrow).is_err());
    let ticket = alone.book.wait(&[KEY.into()], Money::from_nanos(1));
    let (_, questions) = alone.ask(Which::Hot, tomorrow);
    let not_open = questions.asks.into_iter().map(|ask| (ask.id, None));
    alone.book.apply(not_open);
    alone.book.serve(tomorrow, alone.now, &mut alone.page);
    assert!(
        alone.book.is_elsewhen(&ticket),
        "that is no reason to go on without"
    );
    // The clock is right again, and the database has said that it was not.
    let not_open = Some((id(tomorrow), None));
    alone.book.apply(not_open);
    alone.settle(held, 0);
    alone.hold(5, at()).expect("today's lease has it");
}

fn id(at: SystemTime) -> BudgetId {
    let budget: Budget = "1/day".parse().expect("a budget");
    BudgetId {
        account: KEY.into(),
        span: "day".into(),
        start: budget.window.start(at),
    }
}

#[test]
fn who_leaves_with_a_hold_on_its_way_gives_it_back() {
    let (now, accounts): (_, [Arc<str>; 1]) = (Instant::now(), ["key:k".into()]);
    let mut page = Page::default();
    let mut book = Book::default();
    let budget = "0.000001/day".parse().expect("a budget");
    book.set(accounts[0].clone(), vec![budget], None);
    let amount = Money::from_nanos(300);
    let mut ticket = book.wait(&accounts, amount);
    let (round, questions) = book.ask(ALL, at(), now, 0);
    let asks = questions.asks.into_iter();
    book.apply(asks.map(|ask| (ask.id, granted(500, round))));
    book.renew(now + Duration::from_secs(60), next_week());
    book.serve(at(), now, &mut page);
    assert!(book.hold(&accounts, amount, at(), now, &mut page).is_err());
    book.leave(&mut ticket, &mut page);
    let again = book.hold(&accounts, amount, at(), now, &mut page);
    assert!(again.is_ok(), "nobody has it");
}

#[test]
fn one_closed_account_closes_the_call_while_the_database_is_away() {
    let now = Instant::now();
    let mut page = Page::default();
    let mut book = Book::default();
    let accounts: [Arc<str>; 3] = ["global".into(), "key:parent".into(), "key:child".into()];
    let budget: Budget = "1/day".parse().expect("a budget");
    let (open, closed) = (Some(OnStoreDown::Open), Some(OnStoreDown::Closed));
    let mut is_held = |parent, child| {
        book.set(accounts[0].clone(), vec![budget.clone()], None);
        book.set(accounts[1].clone(), vec![budget.clone()], parent);
        // It has no budget, and a word all the same.
        book.set(accounts[2].clone(), Vec::new(), child);
        book.forget_done(Duration::ZERO, at(), now, &mut page);
        let amount = Money::from_nanos(1);
        let held = book.hold_open(&accounts, amount, at(), now, &mut page);
        held.is_ok()
    };
    assert!(!is_held(None, None), "nobody says that it may");
    assert!(is_held(open, open) && is_held(open, None) && is_held(None, open));
    assert!(!is_held(open, closed), "the stricter rule wins");
    assert!(!is_held(closed, open), "whosever it is");
    let free = book.hold_open(&accounts, Money::ZERO, at(), now, &mut page);
    assert!(free.is_ok(), "what costs nothing goes on");
}
