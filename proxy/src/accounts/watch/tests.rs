use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rungs::{
    catalog::Money,
    store::{Balance, Budget, Budgets, memory::MemoryBudgets},
};

use super::{
    gauge::{Gauge, Look},
    *,
};

const DAY: Duration = Duration::from_secs(86_400);

fn noon() -> SystemTime {
    UNIX_EPOCH + DAY * 20_000 + DAY / 2
}

/// A gauge of accounts that have spent so many of a hundred nano-dollars a day, and ten times as many a month.
struct Account {
    gauge: Gauge,
    now: SystemTime,
    looks: AtomicUsize,
    is_known: bool,
}

impl Account {
    fn at(percent: Option<u8>) -> Self {
        let gauge = Gauge::default();
        gauge.set_percent(percent);
        Self {
            gauge,
            now: noon(),
            looks: AtomicUsize::new(0),
            is_known: true,
        }
    }

    fn look(&self, posted: i64, default: Option<u8>) -> Vec<String> {
        let balance = |budget: &str| Balance {
            budget: budget.parse().unwrap(),
            posted: Money::from_nanos(posted),
            reserved: Money::ZERO,
        };
        let look = Look {
            default,
            now: self.now,
            again: None,
        };
        let balances = || {
            self.looks.fetch_add(1, Ordering::Relaxed);
            let budgets = ["0.0000001/day", "0.000001/month"];
            budgets
                .map(|budget| (balance(budget), self.is_known))
                .into()
        };
        let warnings = self.gauge.look(&look, balances);
        let text = |w: &super::warning::Warning| format!("{} {}", w.balance.budget, w.warn_at);
        warnings.iter().map(text).collect()
    }
}

#[test]
fn a_mark_between_two_nano_dollars_is_the_upper_one() {
    let account = Account::at(Some(50));
    let look = Look {
        default: None,
        now: noon(),
        again: None,
    };
    let told = |posted| {
        let balance = || Balance {
            budget: "0.000000003/day".parse().unwrap(),
            posted: Money::from_nanos(posted),
            reserved: Money::ZERO,
        };
        account.gauge.look(&look, || vec![(balance(), true)]).len()
    };
    assert_eq!([0, 1, 2].map(told), [0, 0, 1]);
}

#[test]
fn a_mark_is_told_once_a_window() {
    let mut account = Account::at(Some(80));
    assert!(account.look(0, None).is_empty());
    assert!(account.look(79, None).is_empty());
    assert_eq!(account.look(80, None), ["0.0000001/day 80"]);
    assert!(account.look(99, None).is_empty());
    // Both at once, of which one was told.
    assert_eq!(account.look(800, None), ["0.000001/month 80"]);
    account.now += DAY;
    assert_eq!(account.look(801, None), ["0.0000001/day 80"], "a new day");
    assert!(account.look(802, None).is_empty());
}

#[test]
fn what_was_past_its_mark_at_the_first_look_is_not_told() {
    let account = Account::at(None);
    assert!(account.look(90, Some(50)).is_empty());
    assert!(account.look(99, Some(50)).is_empty());
    assert_eq!(account.look(500, Some(50)), ["0.000001/month 50"]);
    // Another mark: what is past it was passed under the one before.
    assert!(account.look(600, Some(60)).is_empty());
    assert!(account.look(999, None).is_empty(), "nobody wants to know");
}

#[test]
fn a_mark_that_is_set_later_is_told_when_it_is_passed() {
    let account = Account::at(None);
    account.look(0, None);
    assert!(account.look(10, Some(50)).is_empty(), "set, not passed");
    assert_eq!(account.look(60, Some(50)), ["0.0000001/day 50"]);
}

#[test]
fn the_book_is_asked_when_a_mark_is_near_and_when_a_window_is_over() {
    let account = Account::at(Some(80));
    account.look(0, None);
    let gauge = &account.gauge;
    let spend = |nanos, at| gauge.has_to_look(Money::from_nanos(nanos), at);
    assert!(!spend(0, account.now));
    assert!(!spend(79, account.now));
    assert!(spend(1, account.now), "the mark is reached");
    account.look(80, None);
    assert!(!spend(500, account.now), "the month's is far");
    assert!(
        spend(0, account.now + DAY / 2),
        "midnight, whatever was spent"
    );
}

#[test]
fn what_is_spent_of_a_budget_that_nobody_knew_is_looked_at() {
    let mut account = Account::at(Some(80));
    account.look(75, None);
    // Idle for a while, the book has forgotten how it stands, and somebody looks the account up.
    account.is_known = false;
    assert!(account.look(0, None).is_empty());
    let spent = Money::from_nanos(10);
    assert!(account.gauge.has_to_look(spent, account.now));
    account.is_known = true;
    assert_eq!(account.look(85, None), ["0.0000001/day 80"]);
    account.is_known = false;
    assert!(account.look(0, None).is_empty());
    account.is_known = true;
    assert!(account.look(86, None).is_empty(), "it was told");
}

#[test]
fn what_was_past_its_mark_before_anybody_knew_is_not_told() {
    for (posted, told) in [(91, 0), (85, 1)] {
        let mut account = Account::at(Some(80));
        account.is_known = false;
        account.look(0, None);
        let spent = Money::from_nanos(10);
        assert!(account.gauge.has_to_look(spent, account.now));
        account.is_known = true;
        assert_eq!(account.look(posted, None).len(), told, "{posted}");
        assert!(account.look(99, None).is_empty(), "once");
    }
}

#[test]
fn a_budget_of_nothing_has_no_mark() {
    let budget: Budget = "0/day".parse().unwrap();
    let gauge = Gauge::default();
    gauge.set_percent(Some(1));
    let look = Look {
        default: None,
        now: noon(),
        again: None,
    };
    let balance = || Balance {
        budget: budget.clone(),
        posted: Money::ZERO,
        reserved: Money::ZERO,
    };
    assert!(gauge.look(&look, || vec![(balance(), true)]).is_empty());
    assert!(!gauge.has_to_look(Money::from_nanos(1), noon()));
}

#[test]
fn settlements_are_looked_at_and_the_book_is_as_without() {
    let own = Arc::new(MemoryBudgets::new());
    let watched = Watched::new(Book::Own(own.clone()));
    let account: [Arc<str>; 1] = ["key:k".into()];
    let terms = Terms {
        warn_at: Some(50),
        ..vec!["0.0000001/total".parse().unwrap()].into()
    };
    own.set("key:k", terms.budgets.clone());
    watched.watch("key:k", &terms);
    let spend = |nanos| {
        let hold = watched.hold(&account, Money::from_nanos(nanos)).unwrap();
        watched.settle(&account, hold, Money::from_nanos(nanos));
    };
    let told = || watched.gauge("key:k").unwrap().has_told();
    spend(49);
    assert!(!told());
    spend(1);
    assert!(told());
    assert_eq!(own.balance("key:k").unwrap().posted.nanos(), 50);
    assert!(watched.hold(&account, Money::from_nanos(51)).is_err());
    watched.forget("key:k");
    assert!(watched.gauge("key:k").is_none());
}

#[test]
fn a_limit_that_changes_does_not_swallow_what_was_not_told() {
    let gauge = Gauge::default();
    gauge.set_percent(Some(80));
    let told = |limit: &str, posted, now| {
        let look = Look {
            default: None,
            now,
            again: None,
        };
        let balance = Balance {
            budget: format!("{limit}/day").parse().unwrap(),
            posted: Money::from_nanos(posted),
            reserved: Money::ZERO,
        };
        gauge.look(&look, || vec![(balance, true)]).len()
    };
    assert_eq!(told("0.0000001", 60, noon()), 0);
    assert_eq!(told("0.00000005", 60, noon()), 1, "narrower, and past it");
    assert_eq!(told("0.00000005", 61, noon()), 0, "once");
    assert_eq!(told("0.00000004", 61, noon()), 0, "it was told");
    assert_eq!(told("0.0000001", 61, noon()), 0, "wider");
    assert_eq!(told("0.0000001", 80, noon()), 1);
    // Of another day nobody knows what was told.
    assert_eq!(told("0.0000001", 0, noon() + DAY), 0);
    assert_eq!(told("0.0000002", 190, noon() + DAY * 2), 0);
}
