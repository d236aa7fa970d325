//! Holders, a database and lost messages, against a reference that knows the truth.

mod world;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Answer, Book, Short, Standing, Which};
use crate::{
    catalog::Money,
    store::{Budget, OnStoreDown},
};
use world::{ACCOUNTS, Of, Page, Step, World, at, step};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn holders_never_overspend_whatever_is_lost(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.come_to_rest();
        for at in 0..ACCOUNTS {
            let (charged, overcharge) = world.charged(at);
            let bill = world.bill[at];
            prop_assert_eq!(world.standings[at].granted, 0);
            prop_assert!(bill <= charged && charged <= bill + overcharge, "{bill} {charged} {overcharge}");
        }
        // All that is left can be spent.
        let left = (0..ACCOUNTS).map(|at| world.room(at)).min().unwrap_or(0);
        if left > 0 {
            world.step(&Step::Call(0, Of::Both, left));
            prop_assert_eq!(world.under_way(0), 1);
        }
    }

    #[test]
    fn nobody_waits_for_what_is_there(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
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
    let idle = Duration::from_secs(10);
    let ask = |book: &mut Book, at| {
        let (_, questions) = book.ask(Which::All { idle }, at, now, 0);
        questions.into_iter().flat_map(|q| q.asks)
    };
    let grant = |book: &mut Book, at, size| {
        for ask in ask(book, at) {
            book.apply([(ask.id, granted(size, 1))]);
        }
        book.renew(now + Duration::from_secs(60));
    };
    grant(&mut book, at(), 500);
    let amount = Money::from_nanos(200);
    let late = book
        .hold(&accounts, amount, at(), now, &mut page)
        .expect("it was granted");
    let tomorrow = at() + Duration::from_secs(86_400);
    let early = book.hold(&accounts, amount, tomorrow, now, &mut page);
    assert!(matches!(early, Err(Short::Now)), "a new day");
    // A clock that is set back gives no day anew.
    assert!(book.hold(&accounts, amount, at(), now, &mut page).is_err());
    let due: Vec<_> = ask(&mut book, tomorrow).collect();
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
fn granted(size: i64, round: u64) -> Answer {
    Answer {
        standing: Standing {
            granted: size,
            ..Standing::new(1_000)
        },
        size,
        shipped: 0,
        arrived: false,
        round,
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
    let idle = Duration::from_secs(10);
    let (round, questions) = book.ask(Which::All { idle }, at(), now, 0);
    let asks = questions.into_iter().flat_map(|questions| questions.asks);
    book.apply(asks.map(|ask| (ask.id, granted(500, round))));
    book.renew(now + Duration::from_secs(60));
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
        book.forget_past(at(), &mut page);
        let amount = Money::from_nanos(1);
        let held = book.hold_open(&accounts, amount, at(), now, &mut page);
        held.is_some()
    };
    assert!(!is_held(None, None), "nobody says that it may");
    assert!(is_held(open, open) && is_held(open, None) && is_held(None, open));
    assert!(!is_held(open, closed), "the stricter rule wins");
    assert!(!is_held(closed, open), "whosever it is");
}
