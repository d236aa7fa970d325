//! R30: old rows go, what was spent stays, and an audit goes on where they were.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rungs::{
    catalog::{Money, Tier},
    store::{
        Chain, Entry, Finding, KeyStore, Ledger, LedgerLog, LedgerRow, LedgerSink, Pruned,
        journal::{Audit, Journal, encode, next_chain},
        sqlite::SqliteStore,
    },
    testing::{ledger_contract::row, store_contract::key},
};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use crate::{dir::Dir, postgres::Database};

const KEY: [u8; 32] = [7; 32];
const DAY: Duration = Duration::from_secs(86_400);

/// Rows as a journal chains them.
fn chained(rows: impl IntoIterator<Item = LedgerRow>) -> Vec<Entry> {
    let mut chain = Chain::default();
    let entry = |(seq, row)| {
        let mut bytes = Vec::new();
        encode(&row, &mut bytes);
        chain = next_chain(&KEY, &chain, seq, &bytes);
        Entry { seq, chain, row }
    };
    (1..).zip(rows).map(entry).collect()
}

/// A row of an attempt that began so long ago, and cost a nano-dollar.
fn aged(n: u64, age: Duration) -> LedgerRow {
    row(&format!("req_{n}"), 1, 1, age)
}

/// What an audit finds, in the journal of this name.
async fn findings(log: &dyn LedgerLog, name: &str) -> Vec<String> {
    let journals = log.journals().await.expect("journals");
    let journal = journals.iter().find(|journal| *journal.name == *name);
    let journal = journal.expect("the journal");
    let (mut audit, mut found) = Audit::of(journal, &KEY);
    let rows = match log.read(name, 0, UNIX_EPOCH, 100_000).await {
        Ok(rows) => rows,
        Err(unreadable) => return vec![unreadable.message().to_owned()],
    };
    found.extend(rows.iter().filter_map(|e| audit.check(e)));
    found.extend(audit.finish(journal));
    found.iter().map(Finding::to_string).collect()
}

async fn last_to_go(log: &dyn LedgerLog, name: &str, before: SystemTime) -> Option<u64> {
    log.last_to_go(name, before).await.expect("a number")
}

async fn spent(sink: &dyn LedgerSink) -> i64 {
    let spent = sink.spent("global", UNIX_EPOCH, None).await;
    spent.expect("a sum").nanos()
}

async fn run(dir: &Dir, sql: &str) {
    let done = sqlx::query(AssertSqlSafe(sql))
        .execute(&mut dir.raw().await)
        .await;
    done.expect("it is done");
}

#[tokio::test]
async fn r30_old_rows_of_a_file_go_and_the_rest_can_be_checked() {
    let dir = Dir::new("prune");
    let store = dir.open().await;
    let rows = (0..3_000).map(|n| aged(n, DAY * (3_000 - n as u32)));
    store.write(chained(rows).into()).await.expect("written");
    let log = store.log();
    let before = SystemTime::now() - DAY * 1_000 - DAY / 2;
    assert_eq!(last_to_go(&log, "", before).await, Some(2_000));
    let pruned = log.prune(before, &KEY).await.expect("pruned");
    assert_eq!(pruned, Pruned::Rows(2_000));
    assert_eq!(dir.number("SELECT MIN(seq) FROM llm_calls").await, 2_001);
    assert_eq!(spent(&store).await, 3_000, "what was spent stays");
    assert!(findings(&log, "").await.is_empty());
    assert_eq!(last_to_go(&log, "", before).await, None);
    let again = log.prune(before, &KEY).await.expect("nothing more");
    assert_eq!(again, Pruned::Rows(0));

    // The newest row stays, whatever its age: the journal goes on behind it.
    let last = last_to_go(&log, "", SystemTime::now()).await;
    assert_eq!(last, Some(2_999));
    let all = log.prune(SystemTime::now(), &KEY).await.expect("pruned");
    assert_eq!(all, Pruned::Rows(999));
    store.close().await.expect("it closes");
    let store = Arc::new(dir.open().await);
    let journal = Journal::open(&dir.0.join("journal"), store.clone(), &KEY).await;
    let journal = journal.expect("it opens");
    journal.record(aged(9, Duration::ZERO));
    journal.flush().await.expect("shipped");
    assert_eq!(dir.number("SELECT MAX(seq) FROM llm_calls").await, 3_001);
    assert!(findings(&store.log(), "").await.is_empty());
    journal.close().await;
}

#[tokio::test]
async fn what_was_taken_out_is_missed_after_a_prune_as_before() {
    let dir = Dir::new("prune_tampered");
    let store = dir.open().await;
    let rows = (0..20).map(|n| aged(n, DAY * (20 - n as u32)));
    store.write(chained(rows).into()).await.expect("written");
    let log = store.log();
    let before = SystemTime::now() - DAY * 10 - DAY / 2;
    log.prune(before, &KEY).await.expect("pruned");
    for (sql, finding) in [
        (
            "UPDATE llm_calls SET cost_nanos = 0 WHERE seq = 20",
            "row 20 was altered",
        ),
        ("DELETE FROM llm_calls WHERE seq = 15", "row 15 is missing"),
        ("DELETE FROM llm_calls WHERE seq = 11", "row 11 is missing"),
        // Whoever takes rows out would have them pass for old.
        (
            "DELETE FROM llm_calls WHERE seq <= 13",
            "rows 11 to 13 are missing",
        ),
        (
            "UPDATE pruned SET seq = 13, chain = (SELECT chain FROM llm_calls WHERE seq = 14)",
            "the record that row 13 went for its age is forged",
        ),
        ("DELETE FROM pruned", "rows 1 to 13 are missing"),
    ] {
        run(&dir, sql).await;
        let found = findings(&log, "").await;
        assert!(
            found.iter().any(|f| f.contains(finding)),
            "{sql}: {found:?}"
        );
    }
}

#[tokio::test]
async fn what_was_added_before_what_is_left_is_named_and_moves_no_record() {
    let dir = Dir::new("prune_stray");
    let store = dir.open().await;
    let rows = (0..20).map(|n| aged(n, DAY * (20 - n as u32)));
    store.write(chained(rows).into()).await.expect("written");
    let log = store.log();
    let before = SystemTime::now() - DAY * 10 - DAY / 2;
    log.prune(before, &KEY).await.expect("pruned");
    let same = "chain, request_id, attempt, tenant, accounts, op, deployment, tier, status, cost_nanos, \
        cost_source, clamped, total_ms";
    run(
        &dir,
        &format!(
            "INSERT INTO llm_calls (seq, started_ms, {same}) SELECT 5, 0, {same} FROM llm_calls WHERE seq = 15"
        ),
    )
    .await;
    let added = ["row 5 was added, or should be gone for its age"];
    assert_eq!(findings(&log, "").await, added);
    log.prune(before, &KEY).await.expect("nothing more");
    assert_eq!(findings(&log, "").await, added);
}

#[tokio::test]
async fn a_row_that_was_added_beside_another_is_named_wherever_a_page_ends() {
    let database = Database::new();
    let (sink, log) = (database.store().ledger("j"), database.store().log());
    let rows = (0..3).map(|n| aged(n, Duration::ZERO));
    sink.write(chained(rows).into()).await.expect("written");
    let same = "journal, seq, chain, request_id, attempt, tenant, accounts, op, deployment, tier, status, cost_nanos, \
        cost_source, clamped, total_ms";
    let insert = format!(
        "INSERT INTO llm_calls (started_ms, {same}) SELECT started_ms + 1, {same} FROM llm_calls WHERE seq = 2"
    );
    database.run(&insert).await;
    assert!(findings(&log, "j").await[0].starts_with("row 2 was"));
    let page = log.read("j", 0, UNIX_EPOCH, 2).await.expect("rows");
    assert_eq!(page.len(), 3);
}

#[tokio::test]
async fn that_nothing_is_left_behind_old_rows_is_named() {
    let dir = Dir::new("prune_emptied");
    let store = dir.open().await;
    let rows = (0..20).map(|n| aged(n, DAY * (20 - n as u32)));
    store.write(chained(rows).into()).await.expect("written");
    let log = store.log();
    assert_eq!(log.journals().await.expect("journals").len(), 1);
    log.prune(SystemTime::now() - DAY * 10 - DAY / 2, &KEY)
        .await
        .expect("pruned");
    run(&dir, "DELETE FROM llm_calls").await;
    assert_eq!(findings(&log, "").await, ["row 11 is missing"]);
}

/// A value that is read as another would be one that no chain looks at.
#[tokio::test]
async fn no_column_takes_a_value_that_passes_for_another() {
    let database = Database::new();
    let dir = Dir::new("odd_values");
    let file = dir.open().await;
    let untold = LedgerRow {
        attempt: 0,
        tier: Tier::L0,
        usage: None,
        first_frame_ms: Some(0),
        total_ms: 0,
        started: UNIX_EPOCH,
        ..aged(1, Duration::ZERO)
    };
    let highest = LedgerRow {
        tier: Tier::MAX,
        ..aged(2, Duration::ZERO)
    };
    let rows = chained([untold, highest]);
    let sink = database.store().ledger("j");
    sink.write(rows.as_slice().into()).await.expect("written");
    file.write(rows.as_slice().into()).await.expect("written");
    for (seq, column, was, odd) in [
        (1, "output_tokens", "NULL", "5"),
        (1, "attempt", "0", "-1"),
        (1, "tier", "0", "-1"),
        (1, "first_frame_ms", "0", "-1"),
        (1, "total_ms", "0", "-1"),
        (2, "tier", "9", "10"),
        (2, "cache_read_tokens", "0", "-1000000"),
        (
            2,
            "accounts",
            r#"'["global","key:k_1"]'"#,
            r#"'["\u0067lobal","key:k_1"]'"#,
        ),
    ] {
        let set = |value| format!("UPDATE llm_calls SET {column} = {value} WHERE seq = {seq}");
        run(&dir, &set(odd)).await;
        database.run(&set(odd)).await;
        let named = [format!("row {seq} cannot be read")];
        assert_eq!(findings(&file.log(), "").await, named, "{column}");
        let shared = findings(&database.store().log(), "j").await;
        assert_eq!(shared, named, "{column}");
        run(&dir, &set(was)).await;
        database.run(&set(was)).await;
        assert!(findings(&file.log(), "").await.is_empty(), "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r30_a_prune_keeps_nobody_waiting() {
    let dir = Dir::new("prune_busy");
    let store = dir.open().await;
    let rows = chained((0..40_000).map(|n| aged(n, DAY)));
    for batch in rows.chunks(1_000) {
        store.write(batch.into()).await.expect("written");
    }
    let more = chained((0..80_000).map(|n| aged(n, DAY)));
    let done = AtomicBool::new(false);
    let writing = async {
        let (mut slowest, mut next) = (Duration::ZERO, 40_000);
        while !done.load(Ordering::Relaxed) && next < more.len() {
            let began = Instant::now();
            store
                .write(more[next..next + 10].into())
                .await
                .expect("written");
            slowest = slowest.max(began.elapsed());
            next += 10;
        }
        slowest
    };
    let pruning = async {
        let pruned = store.log().prune(SystemTime::now(), &KEY).await;
        done.store(true, Ordering::Relaxed);
        pruned
    };
    let (slowest, pruned) = tokio::join!(writing, pruning);
    println!("{pruned:?} gone, the slowest write waited {slowest:?}");
    assert!(matches!(pruned, Ok(Pruned::Rows(40_000..))));
    // A batch has 50 ms; the rest is for a slow disk.
    assert!(slowest < Duration::from_millis(1_500), "{slowest:?}");
    assert!(findings(&store.log(), "").await.is_empty());
}

/// As long as the suite writes; `cargo xtask writers --seconds` says another time.
const SECONDS: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn r30_sixty_four_writers_never_find_the_database_locked() {
    let seconds = std::env::var("RUNGS_WRITER_SECONDS");
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("a number"));
    let dir = Dir::new("writers");
    let store = Arc::new(dir.open().await);
    let journal = Journal::open(&dir.0.join("journal"), store.clone(), &KEY).await;
    let journal = Arc::new(journal.expect("it opens"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut writers = JoinSet::new();
    for writer in 0..64 {
        let (journal, store) = (journal.clone(), store.clone());
        writers.spawn(async move { writes(writer, end, &journal, &store).await });
    }
    let rows: i64 = writers.join_all().await.into_iter().sum();
    journal.flush().await.expect("shipped");
    println!("{rows} rows by 64 writers in {seconds} s");
    assert_eq!(spent(&*store).await, rows, "each once");
}

/// Rows and keys, until `end`; the last writer lets old rows go. How many rows.
async fn writes(writer: u64, end: Instant, journal: &Journal, store: &SqliteStore) -> i64 {
    let mut rows = 0;
    for n in 0.. {
        if Instant::now() >= end {
            break;
        }
        match writer % 8 {
            0 if n % 16 == 0 => {
                let id = format!("k_{writer}_{n}");
                let made = store.keys().insert(&key(&id, n)).await;
                made.expect("never locked");
            }
            7 if writer == 63 && n % 64 == 0 => {
                let before = SystemTime::now() - Duration::from_secs(1);
                let pruned = store.log().prune(before, &KEY).await;
                pruned.expect("never locked");
            }
            _ => {
                journal.record(row(&format!("req_{writer}_{n}"), 1, 1, Duration::ZERO));
                rows += 1;
                journal.flush().await.expect("never locked");
            }
        }
    }
    rows
}

#[tokio::test]
async fn old_months_go_as_whole_tables_and_the_rest_can_be_checked() {
    let database = Database::new();
    let store = database.store();
    let (sink, log) = (store.ledger("j"), store.log());
    let year = Duration::from_secs(400 * 86_400);
    // Attempts do not end in the order in which they began: some of an old month stand among those of the next.
    let ages = [400, 390, 380, 100, 395, 90, 80, 393, 392, 70, 1];
    let rows = (0..).zip(ages).map(|(n, days)| aged(n, DAY * days));
    sink.write(chained(rows).into()).await.expect("written");
    let other = store.ledger("other");
    let rows = (0..3).map(|n| aged(n, year));
    other.write(chained(rows).into()).await.expect("written");
    assert!(findings(&log, "j").await.is_empty());

    let months = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'llm_calls'::regclass";
    let before = database.number(months).await;
    let long_ago = SystemTime::now() - DAY * 200;
    // Behind two that stay.
    assert_eq!(last_to_go(&log, "j", long_ago).await, Some(9));
    assert_eq!(last_to_go(&log, "other", long_ago).await, Some(3));
    let began = Instant::now();
    let dropped = log.prune(long_ago, &KEY).await;
    println!("{:?}", began.elapsed());
    let Pruned::Months(dropped) = dropped.expect("pruned") else {
        panic!("months go as a whole");
    };
    assert_eq!(database.number(months).await, before - i64::from(dropped));
    assert_eq!(database.number("SELECT count(*) FROM llm_calls").await, 5);
    assert_eq!(spent(&sink).await, 14, "what was spent stays");
    for name in ["j", "other"] {
        assert_eq!(findings(&log, name).await, [""; 0], "{name}");
    }
    assert_eq!(last_to_go(&log, "j", long_ago).await, None);
    let again = log.prune(long_ago, &KEY).await;
    assert_eq!(again.expect("nothing more"), Pruned::Months(0));

    // A journal that slept may bring rows of a month that was dropped, and goes on.
    let late = ages.iter().chain(&[398, 1]);
    let rows = (0..).zip(late).map(|(n, days)| aged(n, DAY * *days));
    // Other times of the day than before would be other rows: those that are there already are not looked at.
    let mut all = chained(rows);
    let tail = all.split_off(ages.len());
    let head = log.journals().await.expect("journals");
    let (last, mut chain) = head[0].last.expect("a last row");
    assert_eq!(last, 11);
    let tail = tail.into_iter().map(|entry| {
        let mut bytes = Vec::new();
        encode(&entry.row, &mut bytes);
        chain = next_chain(&KEY, &chain, entry.seq, &bytes);
        Entry { chain, ..entry }
    });
    sink.write(tail.collect()).await.expect("written");
    assert_eq!(findings(&log, "j").await, [""; 0]);
    log.prune(SystemTime::now() - DAY * 95, &KEY)
        .await
        .expect("pruned");
    assert_eq!(findings(&log, "j").await, [""; 0]);
    log.prune(SystemTime::now(), &KEY).await.expect("pruned");
    assert_eq!(findings(&log, "j").await, [""; 0]);

    for (sql, finding) in [
        (
            "UPDATE llm_calls SET cost_nanos = 5 WHERE seq = 13",
            "row 13 was altered",
        ),
        ("DELETE FROM llm_calls WHERE seq = 13", "row 13 is missing"),
        ("UPDATE pruned SET seq = seq - 1", "forged"),
    ] {
        database.run(sql).await;
        let found = findings(&log, "j").await;
        assert!(
            found.iter().any(|f| f.contains(finding)),
            "{sql}: {found:?}"
        );
    }
}

#[tokio::test]
async fn no_character_that_a_client_sends_breaks_the_chain() {
    let database = Database::new();
    let dir = Dir::new("nul");
    let file = dir.open().await;
    let odd = LedgerRow {
        user: Some("a\0b".into()),
        accounts: Arc::new(["user:t/a\0b".into(), "global".into()]),
        ..aged(1, Duration::ZERO)
    };
    let rows = chained([odd, aged(2, Duration::ZERO)]);
    let sink = database.store().ledger("j");
    for (sink, log, name) in [
        (
            &sink as &dyn LedgerSink,
            &database.store().log() as &dyn LedgerLog,
            "j",
        ),
        (&file, &file.log(), ""),
    ] {
        sink.write(rows.as_slice().into()).await.expect("written");
        assert_eq!(findings(log, name).await, [""; 0]);
        let spent = sink.spent("user:t/a\0b", UNIX_EPOCH, None).await;
        assert_eq!(spent.expect("a sum"), Money::from_nanos(1));
    }
}
