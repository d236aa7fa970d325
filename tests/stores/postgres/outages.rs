//! Databases and processes that stop in the middle.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;
use rungs::{
    ErrorKind,
    store::{
        Budgets, Hold, KeyStore, LedgerRow, LedgerSink, OnStoreDown,
        postgres::{LeaseTerms, LeasedBudgets, PostgresStore},
    },
};

use super::{
    Database,
    budgets::{STANDS, again, hold, known, nanos, open, paid, set},
    entries, until,
    wire::Wire,
};

/// Terms with a folder of this test, empty.
fn terms(test: &str) -> (PathBuf, LeaseTerms) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    let terms = LeaseTerms {
        folder: Some(folder.clone()),
        ..LeaseTerms::default()
    };
    (folder, terms)
}

/// The keeper, or a statement of it, takes so long for each row that is deleted, or changed.
async fn slow_down(database: &Database, what: &str, seconds: f64) {
    database
        .run(&format!(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep({seconds}); RETURN COALESCE(NEW, OLD); END $$"
        ))
        .await;
    let trigger =
        format!("CREATE TRIGGER slow BEFORE {what} ON leases FOR EACH ROW EXECUTE FUNCTION slow()");
    database.run(&trigger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_held_is_closed_although_the_first_try_was_cut_short() {
    let database = Database::new();
    let (folder, terms) = terms("leases_closed_late");
    let accounts = [Arc::from("key:k")];
    {
        let book = open(&database, terms.clone()).await;
        set(&book, "key:k", "0.000001/total");
        hold(&book, &accounts, 200).await.expect("there is room");
    }
    slow_down(&database, "DELETE", 1.5).await;
    let book = again(&database, &terms).await;
    book.replayed();
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    until(async || database.number(sleeps).await == 1).await;
    database.server.freeze().expect("it freezes");
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    database.server.thaw().expect("it goes on");
    until(async || database.number(STANDS).await == 200_000_000).await;
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_with_thousands_of_leases_begins_again_and_closes_them() {
    const LEASES: i64 = 5_000;
    let database = Database::new();
    let (folder, terms) = terms("leases_of_thousands");
    let name = {
        let book = open(&database, terms.clone()).await;
        set(&book, "key:k", "0.000001/total");
        hold(&book, &[Arc::from("key:k")], 1)
            .await
            .expect("there is room");
        book.holder()
    };
    // Half have something out.
    database
        .run(&format!(
            "WITH budget AS (INSERT INTO budgets (account, span, start_ms, end_ms, limit_nanos, granted_nanos) \
             SELECT 'key:' || n, 'total', 0, 9000000000000, 100, n % 2 FROM generate_series(1, 2 * {LEASES}) AS n) \
             INSERT INTO leases (account, span, start_ms, holder, epoch, granted_nanos, spent_nanos, opened_ms) \
             SELECT 'key:' || n, 'total', 0, '{name}', 1, 7, 7 - n % 2, 0 FROM generate_series(1, 2 * {LEASES}) AS n"
        ))
        .await;
    // Longer, for all of them, than a statement may take.
    slow_down(&database, "UPDATE", 0.0005).await;
    let book = again(&database, &terms).await;
    set(&book, "key:new", "0.000001/total");
    let accounts = [Arc::from("key:new")];
    let start = std::time::Instant::now();
    while let Err(error) = hold(&book, &accounts, 1).await {
        let open = "SELECT count(*) FROM leases WHERE state = 'open'";
        println!(
            "{error} {} {:?}",
            database.number(open).await,
            start.elapsed()
        );
        assert!(start.elapsed() < Duration::from_secs(30), "it never begins");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let past = "SELECT count(*) FROM leases WHERE state = 'past' AND granted_nanos > spent_nanos";
    assert_eq!(database.number(past).await, LEASES + 1);
    assert_eq!(
        database.number("SELECT count(*) FROM leases").await,
        LEASES + 2
    );
    book.replayed();
    until(async || database.number("SELECT count(*) FROM leases").await == 1).await;
    let unexplained = "SELECT sum(unexplained_nanos)::BIGINT FROM budgets";
    assert_eq!(database.number(unexplained).await, LEASES + 1);
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_of_all_that_a_holder_of_thousands_had() {
    const LEASES: i64 = 10_000;
    let database = Database::new();
    let store = database.store();
    store.connect().await.expect("it answers");
    database
        .run(&format!(
            "WITH holder AS (INSERT INTO holders (holder, epoch, seen_ms, ttl_ms) VALUES ('dead', 1, 0, 1)), \
             budget AS (INSERT INTO budgets (account, span, start_ms, end_ms, limit_nanos, granted_nanos) \
             SELECT 'key:' || n, 'total', 0, 9000000000000, 100, 1 FROM generate_series(1, {LEASES}) AS n) \
             INSERT INTO leases (account, span, start_ms, holder, epoch, granted_nanos, opened_ms) \
             SELECT 'key:' || n, 'total', 0, 'dead', 1, 1, 0 FROM generate_series(1, {LEASES}) AS n"
        ))
        .await;
    // Longer, for all of them, than anybody waits for the database.
    slow_down(&database, "DELETE", 0.0005).await;
    let lost = store.close_dead("dead", false).await.expect("it answers");
    assert_eq!(lost, Some(nanos(LEASES)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_spent_closes_an_open_key_whatever_else_waits_for_the_database() {
    let mut database = Database::new();
    let book = open(&database, LeaseTerms::default()).await;
    let budget = |text: &str| vec![text.parse().expect("a budget")];
    book.set("key:k", budget("0.000001/total"), OnStoreDown::Open);
    let key = [Arc::from("key:k")];
    let held = hold(&book, &key, 1_000).await.expect("there is room");
    book.settle(&key, held, nanos(1_000));
    database.server.stop().expect("it stops");
    // Of this one nothing is known here.
    book.set("global", budget("1/total"), None);
    for n in [1, 0] {
        let error = hold(&book, &[Arc::from("global"), Arc::from("key:k")], n).await;
        let error = error.expect_err("the key's budget is spent");
        assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
    }
    book.set("key:other", budget("0.000001/total"), OnStoreDown::Open);
    let other = [Arc::from("global"), Arc::from("key:other")];
    hold(&book, &other, 1)
        .await
        .expect("made, and counted later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_within_another_counts_for_nobody() {
    let mut database = Database::new();
    let book = known(&database).await;
    let ledger = database.store().ledger(book.holder());
    let (user, accounts): ([Arc<str>; 1], _) = ([r#"user:t/x"key:k"#.into()], [Arc::from("key:k")]);
    let late = Hold {
        amount: nanos(300),
        at: std::time::SystemTime::now() + Duration::from_secs(60),
        serial: 0,
    };
    let rows = [paid(&user, late, 300)];
    ledger
        .write(entries(1, rows).into())
        .await
        .expect("written");
    database.server.stop().expect("it stops");
    let budget = "0.000001/total".parse().expect("a budget");
    book.set("key:k", vec![budget], OnStoreDown::Open);
    hold(&book, &accounts, 300)
        .await
        .expect("made all the same");
    database.server.restart().expect("it starts");
    until(async || book.is_up()).await;
    hold(&book, &accounts, 700).await.expect("that is left");
    assert_eq!(database.number(STANDS).await, 1_000, "none of it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_budgets_are_found_at_once_whatever_has_arrived_meanwhile() {
    const KEYS: usize = 100;
    let mut database = Database::new();
    let book = known(&database).await;
    let at = std::time::SystemTime::now() + Duration::from_secs(60);
    let at = at.duration_since(std::time::UNIX_EPOCH).expect("later");
    let at = at.as_millis();
    let name = book.holder();
    for sql in [
        format!("INSERT INTO journals (name) VALUES ('{name}')"),
        format!("SELECT llm_calls_month({at})"),
        format!(
            "INSERT INTO llm_calls (started_ms, seq, cost_nanos, journal, attempt, total_ms, tier, clamped, chain, request_id, tenant, \
             accounts, op, deployment, status, cost_source) \
             SELECT {at}, n, 1, (SELECT id FROM journals WHERE name = '{name}'), 1, 1, 0, FALSE, '', 'r' || n, 't', \
             '[\"global\",\"key:other\",\"user:t/' || n || '\"]', 'chat', 'a/b', 'ok', 'usage' FROM generate_series(1, 250000) AS n"
        ),
    ] {
        database.run(&sql).await;
    }
    database.server.stop().expect("it stops");
    let accounts: Vec<[Arc<str>; 1]> = (0..KEYS).map(|n| [format!("key:{n}").into()]).collect();
    for [account] in &accounts {
        let budget = "0.000001/total".parse().expect("a budget");
        book.set(account.clone(), vec![budget], OnStoreDown::Open);
    }
    let held = join_all(accounts.iter().map(|one| hold(&book, one, 300))).await;
    assert!(held.iter().all(Result::is_ok), "made all the same");
    database.server.restart().expect("it starts");
    until(async || book.is_up()).await;
    hold(&book, &accounts[0], 700).await.expect("that is left");
    let error = hold(&book, &accounts[0], 1).await.expect_err("all is held");
    assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_budget_knows_what_is_under_way() {
    let database = Database::new();
    let book = open(&database, LeaseTerms::default()).await;
    let accounts = [Arc::from("key:k")];
    set(&book, "key:k", "0.00001/day");
    let ledger = database.store().ledger(book.holder());
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(hold(&book, &accounts, 100).await.expect("there is room"));
    }
    // Of what has ended in between, one row has arrived and one has not.
    let mut ended: Vec<LedgerRow> = Vec::new();
    for _ in 0..2 {
        let done = hold(&book, &accounts, 50).await.expect("there is room");
        book.settle(&accounts, done, nanos(50));
        ended.push(paid(&accounts, done, 50));
    }
    let rows = entries(1, ended);
    ledger.write(rows[..1].into()).await.expect("written");
    let budgets = ["0.00001/day", "0.000001/total"].map(|b| b.parse().expect("a budget"));
    book.set("key:k", budgets.into(), OnStoreDown::Closed);
    let error = hold(&book, &accounts, 401)
        .await
        .expect_err("600 of 1,000 are used");
    assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
    let more = hold(&book, &accounts, 400).await.expect("that is left");
    ledger.write(rows[1..].into()).await.expect("written");
    for one in held.drain(1..) {
        book.settle(&accounts, one, nanos(0));
    }
    let error = hold(&book, &accounts, 401)
        .await
        .expect_err("600 of 1,000 are used");
    assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
    hold(&book, &accounts, 400).await.expect("it came back");
    book.settle(&accounts, held.remove(0), nanos(100));
    book.settle(&accounts, more, nanos(400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_comes_back_knows_what_came_meanwhile() {
    let database = Database::new();
    let book = open(&database, LeaseTerms::default()).await;
    let accounts = [Arc::from("key:k")];
    let budgets = ["0.00001/day", "0.000001/total"].map(|b| b.parse().expect("a budget"));
    let set = |n: usize| book.set("key:k", budgets[..n].to_vec(), OnStoreDown::Closed);
    set(2);
    let before = hold(&book, &accounts, 100).await.expect("there is room");
    set(1);
    let meanwhile = hold(&book, &accounts, 300).await.expect("there is room");
    let ended = hold(&book, &accounts, 200).await.expect("there is room");
    book.settle(&accounts, ended, nanos(200));
    set(2);
    let refused = async || {
        let error = hold(&book, &accounts, 401).await;
        let error = error.expect_err("600 of 1,000 are used");
        assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
    };
    refused().await;
    let more = hold(&book, &accounts, 400).await.expect("that is left");
    book.settle(&accounts, more, nanos(0));
    // Each of them counts once.
    for (held, spent) in [(before, 100), (meanwhile, 300)] {
        book.settle(&accounts, held, nanos(spent));
    }
    refused().await;
    hold(&book, &accounts, 400).await.expect("that is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_budget_knows_the_calls_of_an_account_that_has_a_word() {
    let database = Database::new();
    let book = open(&database, LeaseTerms::default()).await;
    let accounts = [Arc::from("key:k")];
    book.set("key:k", Vec::new(), OnStoreDown::Closed);
    let held = hold(&book, &accounts, 600).await.expect("no budget");
    set(&book, "key:k", "0.000001/total");
    let error = hold(&book, &accounts, 401).await;
    let error = error.expect_err("600 of 1,000 are used");
    assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
    hold(&book, &accounts, 400).await.expect("that is left");
    book.settle(&accounts, held, nanos(600));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_all_connections_takes_none_from_budgets_and_rows() {
    let database = Database::new();
    let store = PostgresStore::new(&database.url, 1).expect("a URL");
    store.connect().await.expect("it answers");
    let book = LeasedBudgets::open(&store, LeaseTerms::default()).expect("budgets");
    let ledger = store.ledger(book.holder());
    set(&book, "key:k", "0.000001/total");
    // Each look-up waits as long as it may.
    let mut other = database.raw().await;
    let lock = "BEGIN; LOCK TABLE api_keys";
    sqlx::raw_sql(lock)
        .execute(&mut other)
        .await
        .expect("a lock");
    let keys = store.keys();
    let flood = async {
        loop {
            let look = (0..4).map(|_| keys.get("unknown"));
            join_all(look).await;
        }
    };
    let accounts = [Arc::from("key:k")];
    let spend = async {
        for n in 0..5 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(book.is_up(), "the database is there");
            // More than a lease has left, each time.
            let held = hold(&book, &accounts, 200).await.expect("there is room");
            book.settle(&accounts, held, nanos(200));
            let rows = entries(n + 1, [paid(&accounts, held, 200)]);
            ledger.write(rows.into()).await.expect("they arrive");
        }
    };
    tokio::select! {
        () = flood => {}
        () = spend => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_without_a_word_are_replaced() {
    let database = Database::new();
    let wire = Wire::to(&database.url).await;
    let store = PostgresStore::new(&wire.url, 1).expect("a URL");
    let keys = store.keys();
    keys.get("unknown").await.expect("it answers");
    let mut other = database.raw().await;
    let lock = sqlx::raw_sql("BEGIN; LOCK TABLE api_keys");
    lock.execute(&mut other).await.expect("a lock");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let (looked, ()) = tokio::join!(keys.get("unknown"), async {
        until(async || database.number(waits).await == 1).await;
        wire.cut();
    });
    let error = looked.expect_err("the answer is lost");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(other);
    until(async || keys.get("unknown").await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_notices_that_the_connection_was_cut_without_a_word() {
    let database = Database::new();
    let wire = Wire::to(&database.url).await;
    let store = PostgresStore::new(&wire.url, 1).expect("a URL");
    store.connect().await.expect("it answers");
    let _book = LeasedBudgets::open(&store, LeaseTerms::default()).expect("budgets");
    let ears = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
    until(async || database.number(ears).await == 1).await;
    wire.cut();
    let start = std::time::Instant::now();
    while database.number(ears).await == 1 {
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(15), "nobody would hear");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_has_its_name_before_the_database_knows_it() {
    let store = PostgresStore::new("postgres://nobody@127.0.0.1:9/none", 1).expect("a URL");
    let (folder, terms) = terms("name_of_a_process");
    let open = async || {
        for _ in 0..500 {
            match LeasedBudgets::open(&store, terms.clone()) {
                Err(error) if error.message().contains("in use by another") => {}
                done => return done,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        unreachable!("the folder stays in use")
    };
    let name = open().await.expect("a name").holder();
    assert_eq!(open().await.expect("a name").holder(), name);
    std::fs::create_dir_all(folder.join("journal")).expect("a folder");
    std::fs::write(folder.join("journal/1"), "rows").expect("a journal");
    assert_eq!(open().await.expect("a name").holder(), name);
    std::fs::write(folder.join("leases"), [0; 48]).expect("as after a loss of power");
    let error = open().await.expect_err("nobody knows its name");
    assert_eq!(error.kind(), ErrorKind::Internal);
    for part in [
        &*folder.join("leases").display().to_string(),
        "under which name",
        "move the whole folder",
    ] {
        assert!(error.message().contains(part), "{error}");
    }
    let _ = std::fs::remove_dir_all(folder);
}
