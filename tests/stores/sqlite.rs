use std::{
    fs::File,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rungs::{
    ErrorKind,
    catalog::{Money, Tier},
    model::{CostSource, Operation, Usage},
    store::{
        AuditLog, ConversationStore, Entry, KeyStore, LedgerLog, LedgerRow, LedgerSink, RowStatus,
        sqlite::{SqliteKeys, SqliteLog, SqliteStore},
    },
    testing::{
        ledger_contract::{self, row},
        store_contract::{self as contract, key},
    },
};
use sqlx::{Connection, Row};

use crate::dir::Dir;

/// The first rows of a journal.
fn entries(rows: impl IntoIterator<Item = LedgerRow>) -> Vec<Entry> {
    let numbered = (1..).zip(rows);
    let entry = |(seq, row)| Entry {
        seq,
        chain: [7; 16],
        row,
    };
    numbered.map(entry).collect()
}

#[tokio::test]
async fn the_sink_keeps_its_contract() {
    let dir = Dir::new("sink_contract");
    ledger_contract::ledger_sink(&dir.open().await).await;
}

#[tokio::test]
async fn keys_keep_their_contract() {
    let dir = Dir::new("keys_contract");
    contract::key_store(&dir.open().await.keys()).await;
}

#[tokio::test]
async fn conversations_and_todo_lists_keep_their_contract() {
    let dir = Dir::new("conversations_contract");
    let store = dir.open().await;
    contract::conversation_store(&store.conversations()).await;
    contract::todo_store(&store.todos()).await;
    store.close().await.expect("it closes");
    let again = dir.open().await.conversations();
    let memory = again.load(&contract::conversation("acme", "order-7")).await;
    let memory = memory.expect("an answer").expect("it outlives the process");
    assert_eq!(memory.count, 2);
}

#[tokio::test]
async fn no_row_of_a_batch_has_values_of_its_neighbours() {
    let dir = Dir::new("neighbours");
    let store = dir.open().await;
    let began = UNIX_EPOCH + Duration::from_secs(1_764_000_000);
    let first = LedgerRow {
        started: began,
        user: Some("ann".into()),
        conversation: Some("conv".into()),
        price_version: Some("2026-11".into()),
        ..row("req", 1, 42, Duration::ZERO)
    };
    let bare = LedgerRow {
        key: None,
        user: None,
        conversation: None,
        usage: None,
        price_version: None,
        first_frame_ms: None,
        ..first.clone()
    };
    let other = LedgerRow {
        request: "another".into(),
        attempt: 2,
        tenant: "umbrella".into(),
        accounts: ["global".into(), "key:k_2".into()].into(),
        key: Some("k_2".into()),
        user: Some("bob".into()),
        conversation: Some("another".into()),
        op: Operation::Embeddings,
        deployment: "up/another".into(),
        tier: Tier::new(3),
        status: RowStatus::Truncated,
        usage: Some(Usage::from_buckets([7, 6, 5, 4, 3, 2])),
        cost: Money::from_nanos(1_000),
        source: CostSource::Unknown,
        price_version: Some("config".into()),
        clamped: true,
        started: began + Duration::from_secs(900),
        first_frame_ms: Some(7),
        total_ms: 8,
    };
    let free = LedgerRow {
        cost: Money::ZERO,
        ..other.clone()
    };
    let theirs = LedgerRow {
        accounts: other.accounts.clone(),
        ..first.clone()
    };
    let later = LedgerRow {
        started: other.started,
        ..first.clone()
    };
    let rows = [
        &first, &other, &first, &bare, &free, &other, &bare, &theirs, &first, &later,
    ];
    let entries = entries(rows.into_iter().cloned());
    store
        .write(entries.as_slice().into())
        .await
        .expect("written");
    let kept = store.log().read("", 0, UNIX_EPOCH, 100).await;
    assert_eq!(
        format!("{:#?}", kept.expect("rows")),
        format!("{entries:#?}")
    );
    for (account, since, nanos) in [
        ("global", began, 7 * 42 + 2 * 1_000),
        ("key:k_1", began, 6 * 42),
        ("key:k_2", began, 42 + 2 * 1_000),
        ("global", other.started, 42 + 2 * 1_000),
    ] {
        let spent = store.spent(account, since, None).await.expect("a sum");
        assert_eq!(spent.nanos(), nanos, "{account}");
    }
}

#[tokio::test]
async fn every_column_says_what_the_row_said() {
    let dir = Dir::new("columns");
    let store = dir.open().await;
    let first = LedgerRow {
        user: Some("ann".into()),
        conversation: Some("conv".into()),
        price_version: Some("2026-11".into()),
        ..row("req_1", 2, 42, Duration::ZERO)
    };
    let second = LedgerRow {
        usage: None,
        key: None,
        price_version: None,
        status: RowStatus::Failed(ErrorKind::RateLimited),
        clamped: true,
        first_frame_ms: None,
        ..row("req_2", 1, 0, Duration::ZERO)
    };
    let entries = entries([first, second]);
    store
        .write(entries.as_slice().into())
        .await
        .expect("written");
    let mut raw = dir.raw().await;
    let rows = sqlx::query("SELECT * FROM llm_calls ORDER BY request_id")
        .fetch_all(&mut raw)
        .await
        .expect("rows");
    let text = |n: usize, column: &str| rows[n].get::<Option<String>, _>(column);
    let number = |n: usize, column: &str| rows[n].get::<Option<i64>, _>(column);
    for (column, value) in [
        ("request_id", "req_1"),
        ("tenant", "acme"),
        ("key_id", "k_1"),
        ("user_id", "ann"),
        ("conversation_id", "conv"),
        ("accounts", r#"["global","key:k_1"]"#),
        ("op", "chat"),
        ("deployment", "openai/gpt-4o-mini"),
        ("status", "ok"),
        ("cost_source", "computed"),
        ("price_version", "2026-11"),
    ] {
        assert_eq!(text(0, column).as_deref(), Some(value), "{column}");
    }
    for (column, value) in [
        ("seq", 1),
        ("attempt", 2),
        ("clamped", 0),
        ("tier", 1),
        ("input_tokens", 1_000),
        ("cache_read_tokens", 0),
        ("cache_write_5m_tokens", 0),
        ("cache_write_1h_tokens", 0),
        ("output_tokens", 200),
        ("reasoning_tokens", 0),
        ("cost_nanos", 42),
        ("clamped", 0),
        ("first_frame_ms", 210),
        ("total_ms", 1_300),
    ] {
        assert_eq!(number(0, column), Some(value), "{column}");
    }
    assert_eq!(text(1, "status").as_deref(), Some("rate_limit_exceeded"));
    assert_eq!(text(1, "key_id"), None);
    assert_eq!(text(1, "price_version"), None);
    assert_eq!(number(1, "clamped"), Some(1));
    for column in [
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "first_frame_ms",
    ] {
        assert_eq!(number(1, column), None, "{column} was not reported");
    }
}

#[tokio::test]
async fn a_second_owner_is_refused_until_the_first_is_done() {
    let dir = Dir::new("two_owners");
    let first = dir.open().await;
    let error = SqliteStore::open(&dir.url()).await.expect_err("one owner");
    assert!(error.message().contains("in use by another"), "{error}");
    #[cfg(unix)]
    {
        let link = dir.0.join("link.db");
        std::os::unix::fs::symlink(dir.file(), &link).expect("a link");
        let url = format!("sqlite:{}", link.display());
        let error = SqliteStore::open(&url).await.expect_err("the same file");
        assert!(error.message().contains("in use by another"), "{error}");
    }
    let rows = entries([row("req_1", 1, 5, Duration::ZERO)]);
    first.write(rows.as_slice().into()).await.expect("written");
    first.close().await.expect("it closes");
    first.close().await.expect("closing twice is no failure");
    let error = first.write(rows.into()).await.expect_err("it is closed");
    assert!(error.message().contains("closed"), "{error}");

    let second = dir.open().await;
    let spent = second.spent("global", SystemTime::UNIX_EPOCH, None).await;
    assert_eq!(spent.expect("a sum"), Money::from_nanos(5));
    drop(second);
    dir.open().await;
}

#[tokio::test]
async fn a_schema_this_version_does_not_know_is_refused_and_left_alone() {
    let dir = Dir::new("newer");
    dir.open().await.close().await.expect("it closes");
    let newer = "INSERT INTO _sqlx_migrations VALUES (9001, 'later', '2030-01-01', TRUE, x'00', 1)";
    sqlx::query(newer)
        .execute(&mut dir.raw().await)
        .await
        .expect("inserted");
    let error = SqliteStore::open(&dir.url()).await.expect_err("too new");
    assert!(error.message().contains("schema 9001"), "{error}");

    let sql = "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1";
    let remove = "DELETE FROM _sqlx_migrations WHERE version = 9001";
    let mut raw = dir.raw().await;
    sqlx::query(remove)
        .execute(&mut raw)
        .await
        .expect("deleted");
    sqlx::query(sql).execute(&mut raw).await.expect("updated");
    let error = SqliteStore::open(&dir.url())
        .await
        .expect_err("another schema 1");
    assert!(error.message().contains("another schema 1"), "{error}");
}

#[tokio::test]
async fn what_an_older_version_left_is_read_once_that_runs_no_more() {
    let dir = Dir::new("older");
    let none = SqliteLog::open(&dir.url()).await.expect_err("no file");
    assert!(none.message().contains("there is no database"), "{none}");
    dir.of_version(4).await.close().await.expect("it closes");

    let lock = File::create(dir.0.join("rungs.db.lock")).expect("a file");
    lock.try_lock().expect("the older version runs");
    let error = SqliteLog::open(&dir.url()).await.expect_err("too old");
    assert!(error.message().contains("has schema 4"), "{error}");
    assert!(error.message().contains("restart"), "{error}");
    drop(lock);

    let log = SqliteLog::open(&dir.url()).await.expect("it opens");
    assert_eq!(log.journals().await.expect("the journal")[0].last, None);
    assert_eq!(log.audit(&[7; 32]).last().await.expect("the end"), None);
    dir.open().await.close().await.expect("it is free");
}

#[tokio::test]
async fn r31_whoever_opens_a_file_waits_while_another_makes_its_schema() {
    let dir = Dir::new("opening");
    let opening = File::create(dir.0.join("rungs.db.opening")).expect("a file");
    opening.try_lock().expect("another process is at it");
    let url = dir.url();
    let keys = tokio::time::timeout(Duration::from_millis(100), SqliteKeys::open(&url));
    assert!(keys.await.is_err(), "there is no table yet");
    let store = tokio::time::timeout(Duration::from_millis(100), SqliteStore::open(&url));
    assert!(store.await.is_err(), "nor an owner");
    let done = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(opening);
    };
    let (keys, store, ()) = tokio::join!(SqliteKeys::open(&url), SqliteStore::open(&url), done);
    assert!(
        keys.expect("it opens")
            .list()
            .await
            .expect("keys")
            .is_empty()
    );
    store.expect("it opens").close().await.expect("it closes");

    let opening = File::create(dir.0.join("rungs.db.opening")).expect("a file");
    opening.try_lock().expect("another process stands still");
    let error = SqliteKeys::open(&url).await.expect_err("not for ever");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("has been opening"), "{error}");
}

#[tokio::test]
async fn a_url_or_file_that_will_not_do_is_named() {
    let dir = Dir::new("bad_urls");
    let missing = format!("sqlite:{}/no/such/dir/rungs.db", dir.0.display());
    std::fs::write(
        dir.file(),
        "this is no database, and long enough to be read as one".repeat(9),
    )
    .expect("written");
    for (url, kind, part) in [
        (
            "sqlite::memory:".to_owned(),
            ErrorKind::Invalid,
            "names no file",
        ),
        (
            "postgres://localhost/x".to_owned(),
            ErrorKind::Invalid,
            "no SQLite URL",
        ),
        (missing, ErrorKind::Internal, "no/such/dir"),
        (dir.url(), ErrorKind::Internal, "rungs.db"),
    ] {
        let error = SqliteStore::open(&url)
            .await
            .expect_err("it cannot be opened");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn keys_survive_and_do_not_wait_for_a_busy_ledger() {
    let dir = Dir::new("keys_survive");
    let store = dir.open().await;
    let (inside, beside) = (store.keys(), SqliteKeys::open(&dir.url()).await);
    let beside = beside.expect("the keys of a database in use");
    let rows = (0..20_000).map(|n| row(&format!("req_{n}"), 1, 1, Duration::ZERO));
    let rows = entries(rows);
    let busy = async {
        for batch in rows.chunks(1_000) {
            store.write(batch.into()).await.expect("written");
        }
    };
    let keys = async {
        for n in (0..20_000).step_by(1_000) {
            let keys = if n % 2_000 == 0 { &inside } else { &beside };
            let inserted = keys.insert(&key(&format!("k_{n}"), n)).await;
            inserted.expect("never locked out");
        }
    };
    tokio::join!(busy, keys);
    assert!(
        inside.revoke("k_3000").await.expect("a key"),
        "both see all"
    );
    store.close().await.expect("it closes");
    let keys = SqliteKeys::open(&dir.url()).await.expect("it opens");
    assert_eq!(keys.list().await.expect("keys").len(), 20);
    assert_eq!(
        keys.get("k_4000").await.expect("a key"),
        Some(key("k_4000", 4_000))
    );
    dir.open()
        .await
        .close()
        .await
        .expect("keys alone own nothing");
}

#[tokio::test]
async fn keys_can_be_made_before_the_first_start() {
    let dir = Dir::new("keys_first");
    let keys = SqliteKeys::open(&dir.url()).await.expect("it opens");
    keys.insert(&key("k_1", 1)).await.expect("inserted");
    let store = dir.open().await;
    assert!(store.keys().get("k_1").await.expect("an answer").is_some());
    let nowhere = format!("sqlite:{}/no/such/dir/rungs.db", dir.0.display());
    SqliteKeys::open(&nowhere)
        .await
        .expect_err("no such directory");
}
