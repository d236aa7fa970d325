use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::join_all;
use rungs::{
    Error, ErrorKind,
    catalog::Money,
    store::{
        Budgets, Hold, LedgerRow, LedgerSink, OnStoreDown,
        postgres::{LeaseTerms, LeasedBudgets},
    },
    testing::{ledger_contract::row, store_contract as contract},
};

use super::{Database, entries};

pub(super) fn nanos(n: i64) -> Money {
    Money::from_nanos(n)
}

pub(super) async fn hold(
    book: &LeasedBudgets,
    accounts: &[Arc<str>],
    n: i64,
) -> Result<Hold, Error> {
    match book.hold(accounts, nanos(n)) {
        Err(_) => book.wait(accounts, nanos(n)).expect("it may wait").await,
        held => held,
    }
}

pub(super) fn paid(accounts: &[Arc<str>], hold: Hold, n: i64) -> LedgerRow {
    LedgerRow {
        accounts: accounts.into(),
        started: hold.at,
        ..row(
            &format!("req_{}_{}", hold.serial, fastrand::u64(..)),
            1,
            n,
            Duration::ZERO,
        )
    }
}

pub(super) async fn open(database: &Database, terms: LeaseTerms) -> LeasedBudgets {
    let store = database.store();
    store.connect().await.expect("it answers");
    LeasedBudgets::open(&store, terms).expect("budgets")
}

/// One that the database knows, while it knows nothing yet of any `key:k`.
pub(super) async fn known(database: &Database) -> LeasedBudgets {
    let book = open(database, LeaseTerms::default()).await;
    set(&book, "global", "1/total");
    let held = hold(&book, &[Arc::from("global")], 1).await;
    held.expect("there is room");
    book
}

pub(super) fn set(book: &LeasedBudgets, account: &str, budget: &str) {
    let budget = budget.parse().expect("a budget");
    book.set(account, vec![budget], OnStoreDown::Closed);
}

pub(super) const STANDS: &str =
    "SELECT posted_nanos * 1000000 + granted_nanos FROM budgets WHERE account = 'key:k'";

#[tokio::test(flavor = "multi_thread")]
async fn leased_budgets_keep_their_contract() {
    let database = Database::new();
    let book = open(&database, LeaseTerms::default()).await;
    set(&book, "key:contract", "1/total");
    set(&book, "tenant:contract", "0.5/total");
    set(&book, "free:contract", "0/total");
    contract::budgets(&book).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shipped_moves_from_granted_to_posted_once() {
    let database = Database::new();
    let book = open(&database, LeaseTerms::default()).await;
    set(&book, "key:k", "0.000001/day");
    let accounts = [Arc::from("key:k")];
    let ledger = database.store().ledger(book.holder());
    let held = hold(&book, &accounts, 100).await.expect("there is room");
    assert_eq!(database.number(STANDS).await, 100);
    book.settle(&accounts, held, nanos(40));
    let rows = entries(1, [paid(&accounts, held, 40)]);
    ledger.write(rows.as_slice().into()).await.expect("written");
    ledger.write(rows.into()).await.expect("written again");
    assert_eq!(database.number(STANDS).await, 40_000_060);
    book.close().await.expect("it closes");
    assert_eq!(
        database.number(STANDS).await,
        40_000_000,
        "at rest nothing is reserved"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_money_is_called_in_from_others_and_all_of_it_can_be_spent() {
    let database = Database::new();
    let books = join_all((0..3).map(|_| open(&database, LeaseTerms::default()))).await;
    let accounts = [Arc::from("key:k")];
    for book in &books {
        set(book, "key:k", "0.000001/total");
    }
    // Everybody has something idle: what came back of a hold.
    for book in &books {
        let held = hold(book, &accounts, 300).await.expect("there is room");
        book.settle(&accounts, held, nanos(1));
    }
    let start = Instant::now();
    let big = hold(&books[0], &accounts, 990).await.expect("997 are idle");
    assert!(
        start.elapsed() < Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
    let start = Instant::now();
    let error = hold(&books[1], &accounts, 990).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert!(
        start.elapsed() < Duration::from_millis(400),
        "{:?}",
        start.elapsed()
    );
    books[0].settle(&accounts, big, nanos(990));
    for book in &books {
        book.close().await.expect("it closes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nothing_keeps_nobody_from_calling_idle_money_in() {
    let database = Database::new();
    let books = join_all((0..2).map(|_| open(&database, LeaseTerms::default()))).await;
    let accounts = [Arc::from("key:k")];
    for book in &books {
        set(book, "key:k", "0.000001/total");
    }
    let first = hold(&books[0], &accounts, 600)
        .await
        .expect("there is room");
    books[0].settle(&accounts, first, nanos(0));
    // It is alive, and has forgotten its lease: nothing of that is out.
    database
        .run("INSERT INTO holders (holder, epoch, seen_ms, ttl_ms) VALUES ('idle', 1, 9000000000000, 600000)")
        .await;
    database
        .run(
            "INSERT INTO leases (account, span, start_ms, holder, epoch, granted_nanos, opened_ms) \
             VALUES ('key:k', 'total', 0, 'idle', 1, 0, 0)",
        )
        .await;
    for i in [1, 0, 1] {
        let held = hold(&books[i], &accounts, 900).await;
        books[i].settle(&accounts, held.expect("the other has it idle"), nanos(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_a_settlement_elsewhere() {
    let database = Database::new();
    let terms = LeaseTerms {
        patience: Duration::from_secs(5),
        ..LeaseTerms::default()
    };
    let one = open(&database, terms.clone()).await;
    let other = open(&database, terms).await;
    let accounts = [Arc::from("key:k")];
    for book in [&one, &other] {
        set(book, "key:k", "0.000001/total");
    }
    let held = hold(&one, &accounts, 900).await.expect("there is room");
    let (waited, ()) = tokio::join!(hold(&other, &accounts, 500), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        one.settle(&accounts, held, nanos(10));
    });
    waited.expect("890 came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_holder_has_its_money_back_when_it_starts_again() {
    let database = Database::new();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("leases_of_a_killed");
    let _ = std::fs::remove_dir_all(&folder);
    let terms = LeaseTerms {
        folder: Some(folder.clone()),
        ..LeaseTerms::default()
    };
    let accounts = [Arc::from("key:k")];
    let name = {
        let book = open(&database, terms.clone()).await;
        set(&book, "key:k", "0.000001/total");
        let spent = hold(&book, &accounts, 100).await.expect("there is room");
        book.settle(&accounts, spent, nanos(30));
        let ledger = database.store().ledger(book.holder());
        ledger
            .write(entries(1, [paid(&accounts, spent, 30)]).into())
            .await
            .expect("written");
        hold(&book, &accounts, 200).await.expect("there is room");
        let error = LeasedBudgets::open(&database.store(), terms.clone()).expect_err("in use");
        assert!(error.message().contains("in use by another"), "{error}");
        // Dropped, and not closed: nothing is given back. The file's lock goes with the process; here, with its tasks.
        book.holder()
    };
    assert!(database.number(STANDS).await >= 30_000_200);
    let book = again(&database, &terms).await;
    assert_eq!(book.holder(), name);
    set(&book, "key:k", "0.000001/total");
    hold(&book, &accounts, 770)
        .await
        .expect("all but 30 spent and 200 held");
    assert_eq!(database.number(STANDS).await, 30_000_970);
    book.replayed();
    let start = Instant::now();
    while database.number(STANDS).await != 230_000_770 {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "what nothing explains is spent"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let unexplained = "SELECT unexplained_nanos FROM budgets";
    assert_eq!(database.number(unexplained).await, 200);
    let _ = std::fs::remove_dir_all(folder);
}

pub(super) async fn again(database: &Database, terms: &LeaseTerms) -> LeasedBudgets {
    for _ in 0..500 {
        if let Ok(book) = LeasedBudgets::open(&database.store(), terms.clone()) {
            return book;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("the folder stays in use")
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_go_on_while_the_database_is_away_until_they_are_used_up() {
    let mut database = Database::new();
    let book = open(&database, LeaseTerms::default()).await;
    let accounts = [Arc::from("key:k")];
    set(&book, "key:k", "0.000001/total");
    let held = hold(&book, &accounts, 400).await.expect("there is room");
    book.settle(&accounts, held, nanos(0));
    database.server.stop().expect("it stops");
    let first = hold(&book, &accounts, 200).await.expect("the lease has it");
    let second = hold(&book, &accounts, 200).await.expect("the lease has it");
    let error = hold(&book, &accounts, 200)
        .await
        .expect_err("the lease is used up");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.get_retry_after().is_some());
    assert!(!book.is_up());

    let budget = "0.000001/total".parse().expect("a budget");
    book.set("key:k", vec![budget], OnStoreDown::Open);
    let open = hold(&book, &accounts, 200)
        .await
        .expect("made, and counted later");
    set(&book, "key:k", "0.000001/total");
    database.server.restart().expect("it starts");
    let ledger = database.store().ledger(book.holder());
    let rows = [first, second, open].map(|hold| {
        book.settle(&accounts, hold, nanos(200));
        paid(&accounts, hold, 200)
    });
    ledger
        .write(entries(1, rows).into())
        .await
        .expect("it is back");
    let start = Instant::now();
    while hold(&book, &accounts, 400).await.is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "it recovers by itself"
        );
    }
    assert_eq!(database.number(STANDS).await, 600_000_400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_before_the_database_knew_of_a_lease_counts_once() {
    let mut database = Database::new();
    let book = known(&database).await;
    database.server.stop().expect("it stops");
    let budget = "0.000001/total".parse().expect("a budget");
    book.set("key:k", vec![budget], OnStoreDown::Open);
    let accounts = [Arc::from("key:k")];
    let open = hold(&book, &accounts, 300)
        .await
        .expect("made all the same");
    book.settle(&accounts, open, nanos(300));
    database.server.restart().expect("it starts");
    let ledger = database.store().ledger(book.holder());
    let rows = entries(1, [paid(&accounts, open, 300)]);
    ledger.write(rows.into()).await.expect("it is back");
    set(&book, "key:k", "0.000001/total");
    let start = Instant::now();
    // All that is left, and no more.
    while hold(&book, &accounts, 700).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(5), "300 count twice");
    }
    assert_eq!(database.number(STANDS).await, 300_000_700);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_budgets_keep_nobody_waiting() {
    const KEYS: usize = 3_000;
    let database = Database::new();
    let terms = LeaseTerms {
        patience: Duration::from_secs(2),
        ..LeaseTerms::default()
    };
    let book = open(&database, terms).await;
    for n in 0..KEYS {
        set(&book, &format!("key:{n}"), "1/day");
    }
    let start = Instant::now();
    let one = [Arc::from("key:7")];
    hold(&book, &one, 5).await.expect("there is room");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(
        database.number("SELECT count(*) FROM budgets").await,
        1,
        "nobody has used the others"
    );

    // Now somebody uses all of them at once.
    let accounts = |n: usize| [Arc::from(format!("key:{n}"))];
    let calls = join_all((0..KEYS).map(|n| {
        let (book, accounts) = (&book, accounts(n));
        async move { hold(book, &accounts, 5).await }
    }));
    let refused = calls.await.into_iter().filter(Result::is_err).count();
    assert_eq!(refused, 0, "each has its money in time");

    let accounts: Vec<_> = (0..KEYS).flat_map(accounts).collect();
    let stand = book.stand(&accounts).await.expect("it answers");
    assert_eq!(stand.len(), KEYS);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_idle_accounts_stand_the_database_knows() {
    let database = Database::new();
    let (one, other) = (
        open(&database, LeaseTerms::default()).await,
        open(&database, LeaseTerms::default()).await,
    );
    let accounts = [Arc::from("key:k")];
    for book in [&one, &other] {
        set(book, "key:k", "0.000001/day");
    }
    let ledger = database.store().ledger(one.holder());
    let held = hold(&one, &accounts, 100).await.expect("there is room");
    one.settle(&accounts, held, nanos(40));
    let rows = entries(1, [paid(&accounts, held, 40)]);
    ledger.write(rows.into()).await.expect("written");
    assert_eq!(other.balances("key:k")[0].posted, Money::ZERO);
    let stand = other.stand(&accounts).await.expect("it answers");
    let one = &stand[0];
    let told = (&*one.account, one.balance.posted, one.is_stale);
    assert_eq!(told, ("key:k", nanos(40), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_begins_with_the_limit_of_the_one_before() {
    let database = Database::new();
    let accounts = [Arc::from("key:k")];
    let [stale, other] = [
        open(&database, LeaseTerms::default()).await,
        open(&database, LeaseTerms::default()).await,
    ];
    for book in [&stale, &other] {
        set(book, "key:k", "0.000001/total");
        hold(book, &accounts, 1).await.expect("there is room");
    }
    set(&other, "key:k", "0.0000005/total");
    let limits = "SELECT limit_nanos FROM budgets WHERE start_ms = 0";
    super::until(async || database.number(limits).await == 500).await;
    // As if that had been the window before this one.
    database
        .run(
            "WITH gone AS (DELETE FROM leases) \
             UPDATE budgets SET start_ms = -1, end_ms = 0, granted_nanos = 0",
        )
        .await;
    let held = async |n| hold(&stale, &accounts, n).await;
    assert!(held(600).await.is_err(), "it has not heard of the change");
    held(400).await.expect("there is room");
    assert_eq!(database.number(limits).await, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_limit_applies_as_soon_as_it_fits() {
    let database = Database::new();
    let book = open(&database, LeaseTerms::default()).await;
    let accounts = [Arc::from("key:k")];
    set(&book, "key:k", "0.000001/total");
    let held = hold(&book, &accounts, 800).await.expect("there is room");
    set(&book, "key:k", "0.0000003/total");
    let limit = "SELECT limit_nanos FROM budgets";
    let until = async |wanted: i64| {
        let start = Instant::now();
        while database.number(limit).await != wanted {
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{}",
                database.number(limit).await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until(800).await;
    assert!(hold(&book, &accounts, 1).await.is_err());
    let other = open(&database, LeaseTerms::default()).await;
    other.set(
        "key:k",
        vec!["0.0000003/total".parse().expect("a budget")],
        OnStoreDown::Closed,
    );
    book.settle(&accounts, held, nanos(100));
    hold(&other, &accounts, 150).await.expect("700 came back");
    until(300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_closes_what_is_dead_and_nothing_else() {
    let database = Database::new();
    let accounts = [Arc::from("key:k")];
    let book = open(&database, LeaseTerms::default()).await;
    set(&book, "key:k", "0.000001/total");
    let held = hold(&book, &accounts, 500).await.expect("there is room");
    let store = database.store();
    let name = book.holder();
    let closed = store.close_dead(&name, false).await;
    assert_eq!(closed.expect("it answers"), None, "it may be alive");
    let holders = store.holders().await.expect("it answers");
    assert_eq!((holders.len(), holders[0].out), (1, nanos(500)));
    assert!(holders[0].silent.is_some());
    let lost = store.close_dead(&name, true).await.expect("it answers");
    assert_eq!(lost, Some(nanos(500)));
    // It wakes up, sees that it has nothing, and begins anew.
    book.settle(&accounts, held, nanos(500));
    let start = Instant::now();
    while hold(&book, &accounts, 400).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    assert!(
        hold(&book, &accounts, 200).await.is_err(),
        "500 are spent, 400 held"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leases_of_two_dead_processes_of_a_name_are_closed_alike() {
    let database = Database::new();
    let store = database.store();
    store.connect().await.expect("it answers");
    database
        .run(
            "WITH holder AS (INSERT INTO holders (holder, epoch, seen_ms, ttl_ms) VALUES ('dead', 3, 0, 1)), \
             budget AS (INSERT INTO budgets (account, span, start_ms, end_ms, limit_nanos, granted_nanos) \
             VALUES ('key:k', 'total', 0, 9000000000000, 1000, 300)) \
             INSERT INTO leases (account, span, start_ms, holder, epoch, granted_nanos, opened_ms, state) \
             VALUES ('key:k', 'total', 0, 'dead', 1, 100, 0, 'past'), ('key:k', 'total', 0, 'dead', 2, 200, 0, 'past')",
        )
        .await;
    let lost = store.close_dead("dead", false).await.expect("it answers");
    assert_eq!(lost, Some(nanos(300)));
    assert_eq!(database.number(STANDS).await, 300_000_000);
    let unexplained = "SELECT unexplained_nanos FROM budgets";
    assert_eq!(database.number(unexplained).await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_born_with_what_the_ledger_knows() {
    let database = Database::new();
    let accounts: [Arc<str>; 1] = ["key:k_1".into()];
    database
        .store()
        .ledger("j")
        .write(entries(1, [row("req_old", 1, 700, Duration::from_secs(5))]).into())
        .await
        .expect("written");
    let book = open(&database, LeaseTerms::default()).await;
    set(&book, "key:k_1", "0.000001/month");
    let balance = async || {
        let _ = hold(&book, &accounts, 400).await;
        book.balance("key:k_1").expect("a budget").posted
    };
    // In the first seconds of a month, what was just before belongs to the last one.
    let month = "0/month"
        .parse::<rungs::store::Budget>()
        .expect("a budget")
        .window;
    if SystemTime::now()
        .duration_since(month.start(SystemTime::now()))
        .expect("past")
        > Duration::from_secs(60)
    {
        assert_eq!(balance().await, nanos(700));
        assert!(hold(&book, &accounts, 301).await.is_err());
    }
    hold(&book, &accounts, 300).await.expect("that is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_fits_is_held_by_two_hundred_at_once() {
    let database = Database::new();
    let books = join_all((0..2).map(|_| open(&database, LeaseTerms::default()))).await;
    let accounts = [Arc::from("key:k"), Arc::from("global")];
    for book in &books {
        set(book, "key:k", "0.000001/day");
        set(book, "global", "0.00001/day");
    }
    let calls = (0..200).map(|i| hold(&books[i % 2], &accounts, 142));
    let ends = join_all(calls).await;
    let held = ends.iter().filter(|end| end.is_ok()).count();
    let refusals: std::collections::BTreeMap<_, usize> = ends
        .iter()
        .filter_map(|end| end.as_ref().err())
        .fold(std::collections::BTreeMap::new(), |mut all, error| {
            *all.entry(error.message().to_owned()).or_default() += 1;
            all
        });
    assert_eq!(held, 7, "{refusals:#?}");
}
