use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proptest::prelude::*;
use rungs::{
    ErrorKind,
    catalog::Money,
    store::{Balance, Budget, Budgets, Hold, Reservation, Window, memory::MemoryBudgets},
};

fn budget(text: &str) -> Budget {
    text.parse().expect("a budget")
}

fn nanos(n: i64) -> Money {
    Money::from_nanos(n)
}

/// A book whose clock stands at so many seconds after 1970.
fn book_at(seconds: u64) -> (MemoryBudgets, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(seconds));
    let hand = clock.clone();
    let book = MemoryBudgets::with_clock(move || {
        UNIX_EPOCH + Duration::from_secs(hand.load(Ordering::SeqCst))
    });
    (book, clock)
}

const DAY: u64 = 86_400;
/// Saturday, 28 November 2026, 23:59:00 UTC.
const SATURDAY_NIGHT: u64 = 20_785 * DAY + 86_340;

#[test]
fn a_refusal_says_what_stands_in_the_way_and_until_when() {
    let (book, _) = book_at(SATURDAY_NIGHT);
    let account: [Arc<str>; 1] = ["key:k_secret".into()];
    for (text, reset, wait) in [
        ("0.01/day", "resets on 2026-11-29 at 00:00 UTC", Some(60)),
        (
            "0.01/week",
            "resets on 2026-11-30 at 00:00 UTC",
            Some(60 + DAY),
        ),
        (
            "0.01/month",
            "resets on 2026-12-01 at 00:00 UTC",
            Some(60 + 2 * DAY),
        ),
        ("0.01/total", "does not reset", None),
    ] {
        book.set(account[0].clone(), vec![budget(text)]);
        book.seed(
            &account[0],
            &budget(text).window,
            "0.004".parse().expect("money"),
        );
        let held = book
            .hold(&account, "0.005".parse().expect("money"))
            .expect("there is room");
        let error = book
            .hold(&account, "0.0011".parse().expect("money"))
            .expect_err("there is none");
        book.settle(&account, held, Money::ZERO);
        assert_eq!(error.kind(), ErrorKind::Budget);
        assert_eq!(error.get_retry_after(), wait.map(Duration::from_secs));
        let message = error.message();
        for part in [
            "key budget",
            text,
            "$0.0011",
            "$0.004 is spent",
            "$0.005 held",
            reset,
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("k_secret"), "{message}");
    }
}

#[test]
fn a_refusal_by_a_budget_of_all_tells_nobody_what_the_others_spend() {
    let (book, _) = book_at(SATURDAY_NIGHT);
    let account: [Arc<str>; 1] = ["global".into()];
    book.set(account[0].clone(), vec![budget("0.01/day")]);
    let window = budget("0.01/day").window;
    book.seed(&account[0], &window, "0.004".parse().expect("money"));
    let held = book.hold(&account, "0.005".parse().expect("money"));
    let error = book
        .hold(&account, "0.0011".parse().expect("money"))
        .expect_err("there is no room");
    book.settle(&account, held.expect("there is room"), Money::ZERO);
    let message = error.message();
    assert!(
        message.contains("global budget of $0.01/day has no room for $0.0011"),
        "{message}"
    );
    assert!(message.contains("; it resets on 2026-11-29"), "{message}");
    for sum in ["0.004", "0.005"] {
        assert!(!message.contains(sum), "{message}");
    }
}

#[test]
fn windows_roll_over_at_their_own_midnight() {
    let (book, clock) = book_at(SATURDAY_NIGHT);
    let account: [Arc<str>; 1] = ["key:k".into()];
    let windows = ["1/day", "1/week", "1/month", "1/total"];
    book.set(account[0].clone(), windows.map(budget).into());
    let hold = book.hold(&account, nanos(8)).expect("there is room");
    book.settle(&account, hold, nanos(8));

    let posted = |at: u64| {
        clock.store(at, Ordering::SeqCst);
        let balances = book.balances(&account[0]);
        balances
            .iter()
            .map(|b| b.posted.nanos())
            .collect::<Vec<_>>()
    };
    assert_eq!(posted(SATURDAY_NIGHT + 59), [8, 8, 8, 8]);
    assert_eq!(posted(SATURDAY_NIGHT + 60), [0, 8, 8, 8], "Sunday");
    assert_eq!(posted(SATURDAY_NIGHT + 60 + DAY - 1), [0, 8, 8, 8]);
    assert_eq!(posted(SATURDAY_NIGHT + 60 + DAY), [0, 0, 8, 8], "Monday");
    assert_eq!(
        posted(SATURDAY_NIGHT + 60 + 2 * DAY),
        [0, 0, 0, 8],
        "December"
    );
}

#[test]
fn a_late_settlement_belongs_to_the_window_of_its_hold() {
    let (book, clock) = book_at(SATURDAY_NIGHT);
    let account: [Arc<str>; 1] = ["key:k".into()];
    book.set(account[0].clone(), vec![budget("1/day"), budget("1/week")]);
    let late = book.hold(&account, nanos(5)).expect("there is room");
    clock.store(SATURDAY_NIGHT + 60, Ordering::SeqCst);
    let early = book.hold(&account, nanos(7)).expect("there is room");
    book.settle(&account, late, nanos(4));
    let stands = |window: &Window| {
        let balances = book.balances(&account[0]);
        let of = |b: &&Balance| b.budget.window == *window;
        let b = balances.iter().find(of).expect("a balance");
        (b.posted.nanos(), b.reserved.nanos())
    };
    assert_eq!(stands(&Window::DAY), (0, 7));
    assert_eq!(stands(&Window::WEEK), (4, 7));
    book.settle(&account, early, nanos(7));
    assert_eq!(stands(&Window::DAY), (7, 0));
    assert_eq!(stands(&Window::WEEK), (11, 0));
}

#[test]
fn a_budget_that_comes_later_knows_what_is_under_way_in_its_window() {
    let (book, clock) = book_at(SATURDAY_NIGHT);
    let account: [Arc<str>; 1] = ["key:k".into()];
    book.set(account[0].clone(), vec![budget("1/total")]);
    let old = book.hold(&account, nanos(3)).expect("there is room");
    clock.store(SATURDAY_NIGHT + 120, Ordering::SeqCst);
    let new = book.hold(&account, nanos(5)).expect("there is room");
    let twice = [account[0].clone(), account[0].clone()];
    let both = book.hold(&twice, nanos(2)).expect("there is room");
    let budgets = ["1/total", "1/day", "1/week", "1/day Pacific/Niue"].map(budget);
    book.set(account[0].clone(), budgets.into());
    let stands = || {
        let balances = book.balances(&account[0]);
        let both = |b: &Balance| (b.posted.nanos(), b.reserved.nanos());
        balances.iter().map(both).collect::<Vec<_>>()
    };
    // By UTC a day has begun in between; on Niue, eleven hours behind, it has not.
    assert_eq!(stands(), [(0, 12), (0, 9), (0, 12), (0, 12)]);
    book.settle(&account, old, nanos(4));
    assert_eq!(stands(), [(4, 9), (0, 9), (4, 9), (4, 9)]);
    book.settle(&account, new, nanos(1));
    book.settle(&twice, both, nanos(1));
    assert_eq!(stands(), [(7, 0), (3, 0), (7, 0), (7, 0)]);
}

#[test]
fn a_clock_that_is_set_back_gives_no_budget_anew() {
    let (book, clock) = book_at(SATURDAY_NIGHT + 60);
    let account: [Arc<str>; 1] = ["key:k".into()];
    book.set(account[0].clone(), vec![budget("0.000000010/day")]);
    let spend = |amount| {
        let hold = book.hold(&account, nanos(amount))?;
        book.settle(&account, hold, nanos(amount));
        Ok::<(), rungs::Error>(())
    };
    spend(4).expect("there is room");
    clock.store(SATURDAY_NIGHT, Ordering::SeqCst);
    spend(6).expect("there is room");
    let balance = book.balance(&account[0]).expect("a budget");
    assert_eq!((balance.posted, balance.reserved), (nanos(10), Money::ZERO));
    spend(1).expect_err("it is still Sunday");
    clock.store(SATURDAY_NIGHT + 60 + 5, Ordering::SeqCst);
    spend(1).expect_err("it is Sunday again");
    clock.store(SATURDAY_NIGHT + 60 + DAY, Ordering::SeqCst);
    spend(10).expect("Monday");
}

#[test]
fn budgets_may_change_under_calls_under_way() {
    let book = MemoryBudgets::new();
    let account: [Arc<str>; 1] = ["key:k".into()];
    let before = book.hold(&account, nanos(5)).expect("no budget yet");
    book.set(account[0].clone(), vec![budget("1/day")]);
    let after = book.hold(&account, nanos(3)).expect("there is room");
    book.settle(&account, before, nanos(5));
    let stands = || {
        let balance = book.balance(&account[0]).expect("a budget");
        (balance.posted.nanos(), balance.reserved.nanos())
    };
    assert_eq!(stands(), (5, 3), "what was never reserved is not freed");
    book.set(
        account[0].clone(),
        vec![budget("1/month"), budget("0.000000009/total")],
    );
    assert_eq!(stands(), (0, 3), "what is under way is known");
    for window in [Window::MONTH, Window::TOTAL] {
        book.seed(&account[0], &window, nanos(5));
    }
    assert_eq!(stands(), (5, 3), "and what was spent, once it is told");
    let tightest = book.balance(&account[0]).expect("a budget");
    assert_eq!(tightest.budget.window, Window::TOTAL);
    assert_eq!(tightest.room(), nanos(1));
    book.settle(&account, after, nanos(-7));
    assert_eq!(stands(), (5, 0), "nothing is ever posted below zero");
    book.set(account[0].clone(), Vec::new());
    assert_eq!(book.balance(&account[0]), None);
    assert!(book.accounts().is_empty());
}

#[test]
fn a_dropped_reservation_is_charged_in_full() {
    let book = Arc::new(MemoryBudgets::new());
    let accounts: Arc<[Arc<str>]> = Arc::new(["key:k".into()]);
    book.set("key:k", vec![budget("1/total")]);
    let reserve = |amount| {
        Reservation::hold(book.clone(), accounts.clone(), nanos(amount)).expect("there is room")
    };
    drop(reserve(5));
    reserve(100).release();
    reserve(100).settle(nanos(30));
    let open = reserve(7);
    assert_eq!(open.held(), nanos(7));
    let balance = book.balance("key:k").expect("a budget");
    assert_eq!((balance.posted, balance.reserved), (nanos(35), nanos(7)));
}

#[test]
fn threads_never_spend_more_than_the_limit_together() {
    const LIMIT: i64 = 3_000_000;
    let book = Arc::new(MemoryBudgets::new());
    let accounts: Vec<Arc<str>> = ["key:a", "key:b", "tenant:t"].map(Into::into).into();
    for account in &accounts {
        book.set(
            account.clone(),
            vec![Budget {
                limit: nanos(LIMIT),
                window: Window::TOTAL,
            }],
        );
    }
    let spent = Arc::new(AtomicI64::new(0));
    let threads = (0..8u64).map(|n| {
        let (book, accounts, spent) = (book.clone(), accounts.clone(), spent.clone());
        thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(n);
            let mut open: Vec<(Vec<Arc<str>>, Hold)> = Vec::new();
            for _ in 0..20_000 {
                if open.len() < 4 && random.bool() {
                    let mut payers = vec![accounts[random.usize(..2)].clone(), accounts[2].clone()];
                    random.shuffle(&mut payers);
                    if let Ok(hold) = book.hold(&payers, nanos(random.i64(0..2_000))) {
                        open.push((payers, hold));
                    }
                } else if !open.is_empty() {
                    let (payers, hold) = open.swap_remove(random.usize(..open.len()));
                    let cost = random.i64(0..=hold.amount.nanos());
                    spent.fetch_add(cost, Ordering::Relaxed);
                    book.settle(&payers, hold, nanos(cost));
                }
                let b = book.balance("tenant:t").expect("a budget");
                assert!((b.posted + b.reserved).nanos() <= LIMIT, "{b:?}");
            }
            for (payers, hold) in open {
                book.settle(&payers, hold, Money::ZERO);
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("no thread panics");
    }
    let posted = |account| {
        let b = book.balance(account).expect("a budget");
        assert_eq!(b.reserved, Money::ZERO, "nothing stays reserved");
        b.posted.nanos()
    };
    assert_eq!(posted("tenant:t"), spent.load(Ordering::Relaxed));
    assert_eq!(posted("key:a") + posted("key:b"), posted("tenant:t"));
    assert!(posted("tenant:t") > LIMIT - 20_000, "the limit is reached");
}

/// What a book must do, in the plainest words: a list of holds, summed up at each question.
#[derive(Default)]
struct Naive(Vec<Entry>);

struct Entry {
    account: usize,
    at: SystemTime,
    held: i64,
    spent: Option<i64>,
}

impl Naive {
    fn stands(&self, account: usize, window: &Window, now: SystemTime) -> (i64, i64) {
        let start = window.start(now);
        let mine = || {
            self.0
                .iter()
                .filter(|e| e.account == account && e.at >= start)
        };
        let posted = mine().filter_map(|e| e.spent).sum();
        let reserved = mine().filter(|e| e.spent.is_none()).map(|e| e.held).sum();
        (posted, reserved)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Hold(Vec<usize>, i64),
    Settle(prop::sample::Index, i64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::sample::subsequence(vec![0, 1, 2, 3], 1..=3), 0..60i64)
            .prop_map(|(accounts, amount)| Step::Hold(accounts, amount)),
        3 => (any::<prop::sample::Index>(), 0..80i64).prop_map(|(i, spent)| Step::Settle(i, spent)),
        1 => prop_oneof![0..10u64, 0..DAY, 0..20 * DAY].prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_book_agrees_with_the_naive_model(
        start in 0..40_000 * DAY,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (book, clock) = book_at(start);
        let names: Vec<Arc<str>> = ["key:a", "key:b", "tenant:t", "user:free"].map(Into::into).into();
        let limits = [
            vec![budget("0.000000100/day"), budget("0.000000300/month")],
            vec![
                budget("0.000000150/week@thu Asia/Kathmandu"),
                budget("0.000000250/month@31 Pacific/Kiritimati"),
            ],
            vec![budget("0.000000500/total"), budget("0.000000120/day")],
            vec![],
        ];
        for (name, budgets) in names.iter().zip(&limits) {
            book.set(name.clone(), budgets.clone());
        }
        let mut model = Naive::default();
        let mut open: Vec<(Vec<usize>, Vec<usize>, Hold)> = Vec::new();
        for step in steps {
            let now = UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst));
            match step {
                Step::Wait(seconds) => {
                    clock.fetch_add(seconds, Ordering::SeqCst);
                }
                Step::Hold(accounts, amount) => {
                    let fits = accounts.iter().all(|&a| limits[a].iter().all(|b| {
                        let (posted, reserved) = model.stands(a, &b.window, now);
                        let limit = b.limit.nanos();
                        posted < limit && (amount == 0 || posted + reserved + amount <= limit)
                    }));
                    let payers: Vec<_> = accounts.iter().map(|&a| names[a].clone()).collect();
                    let held = book.hold(&payers, nanos(amount));
                    prop_assert_eq!(held.is_ok(), fits);
                    if let Ok(hold) = held {
                        let entries = accounts.iter().map(|&account| {
                            model.0.push(Entry { account, at: now, held: amount, spent: None });
                            model.0.len() - 1
                        }).collect();
                        open.push((accounts, entries, hold));
                    }
                }
                Step::Settle(index, spent) => {
                    if open.is_empty() {
                        continue;
                    }
                    let (accounts, entries, hold) = open.swap_remove(index.index(open.len()));
                    let payers: Vec<_> = accounts.iter().map(|&a| names[a].clone()).collect();
                    book.settle(&payers, hold, nanos(spent));
                    for entry in entries {
                        model.0[entry].spent = Some(spent);
                    }
                }
            }
            let now = UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst));
            for (a, name) in names.iter().enumerate() {
                for balance in book.balances(name) {
                    let stands = (balance.posted.nanos(), balance.reserved.nanos());
                    prop_assert_eq!(stands, model.stands(a, &balance.budget.window, now));
                }
            }
        }
    }
}

#[test]
fn what_is_under_way_is_known_to_budgets_that_come_after_none() {
    let (book, _) = book_at(0);
    let account: [Arc<str>; 1] = ["key:k".into()];
    book.set(account[0].clone(), vec![budget("1/total")]);
    let hold = book.hold(&account, nanos(900_000_000)).unwrap();
    book.set(account[0].clone(), Vec::new());
    assert!(book.accounts().is_empty());
    assert!(book.balance("key:k").is_none());
    book.set(account[0].clone(), vec![budget("1/total")]);
    book.hold(&account, nanos(900_000_000)).unwrap_err();
    book.settle(&account, hold, nanos(300_000_000));
    let balance = book.balance("key:k").unwrap();
    assert_eq!(
        (balance.posted, balance.reserved),
        (nanos(300_000_000), Money::ZERO)
    );
}
