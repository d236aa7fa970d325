use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rungs::{
    ErrorKind,
    catalog::Money,
    store::{
        KeyStore, Ledger, LedgerRow, RowStatus, Spent,
        sqlite::{SqliteKeys, SqliteStore},
    },
    testing::store_contract::{self as contract, key, row},
};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

/// A directory of one test.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        Self(dir)
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    fn file(&self) -> PathBuf {
        self.0.join("rungs.db")
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.url()).await.expect("it opens")
    }

    /// Another program's connection.
    async fn raw(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url())
            .await
            .expect("it opens")
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut raw = self.raw().await;
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut raw).await;
        row.expect("a row").get(0)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn the_ledger_keeps_its_contract() {
    let dir = Dir::new("ledger_contract");
    contract::ledger(&dir.open().await).await;
}

#[tokio::test]
async fn keys_keep_their_contract() {
    let dir = Dir::new("keys_contract");
    contract::key_store(&dir.open().await.keys()).await;
}

#[tokio::test]
async fn fifty_thousand_rows_are_written_once_each_and_found_again() {
    const THREADS: u32 = 8;
    const ROWS: u32 = 6_250;
    let dir = Dir::new("many_rows");
    let store = Arc::new(dir.open().await);
    let threads = (0..THREADS).map(|thread| {
        let store = store.clone();
        std::thread::spawn(move || {
            for n in 0..ROWS {
                let request = format!("req_{thread}_{n}");
                store.record(row(&request, 1, i64::from(n), Duration::ZERO));
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("no thread panics");
    }
    store.flush().await.expect("all are written");
    let rows = i64::from(THREADS * ROWS);
    let cost = i64::from(THREADS) * i64::from(ROWS) * i64::from(ROWS - 1) / 2;
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, rows);
    store.record(row("req_last", 1, 1, Duration::ZERO));
    store.close().await.expect("closing writes what is left");

    let store = dir.open().await;
    let spent = store.spent(Spent::Key("k_1"), SystemTime::UNIX_EPOCH).await;
    assert_eq!(spent.expect("a sum"), Money::from_nanos(cost + 1));
    store.close().await.expect("it closes");
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, rows + 1);
    let bytes = i64::try_from(dir.file().metadata().expect("a file").len()).expect("small");
    assert!(bytes / rows <= 400, "{} bytes a row", bytes / rows);
}

#[tokio::test]
async fn every_column_says_what_the_row_said() {
    let dir = Dir::new("columns");
    let store = dir.open().await;
    store.record(LedgerRow {
        user: Some("ann".into()),
        conversation: Some("conv".into()),
        ..row("req_1", 2, 42, Duration::ZERO)
    });
    store.record(LedgerRow {
        usage: None,
        key: None,
        status: RowStatus::Failed(ErrorKind::RateLimited),
        first_frame_ms: None,
        ..row("req_2", 1, 0, Duration::ZERO)
    });
    store.flush().await.expect("written");
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
    ] {
        assert_eq!(text(0, column).as_deref(), Some(value), "{column}");
    }
    for (column, value) in [
        ("attempt", 2),
        ("tier", 1),
        ("input_tokens", 1_000),
        ("cache_read_tokens", 0),
        ("cache_write_5m_tokens", 0),
        ("cache_write_1h_tokens", 0),
        ("output_tokens", 200),
        ("reasoning_tokens", 0),
        ("cost_nanos", 42),
        ("first_frame_ms", 210),
        ("total_ms", 1_300),
    ] {
        assert_eq!(number(0, column), Some(value), "{column}");
    }
    assert_eq!(text(1, "status").as_deref(), Some("rate_limit_exceeded"));
    assert_eq!(text(1, "key_id"), None);
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
async fn a_row_is_written_once_but_a_request_id_may_come_again() {
    let dir = Dir::new("twice");
    let store = dir.open().await;
    let first = row("req_1", 1, 5, Duration::from_secs(10));
    store.record(first.clone());
    store.flush().await.expect("written");
    store.record(first.clone());
    store.record(row("req_1", 1, 5, Duration::ZERO));
    store.flush().await.expect("written");
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, 2);
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
    first.record(row("req_1", 1, 5, Duration::ZERO));
    first.close().await.expect("it closes");
    first.close().await.expect("closing twice is no failure");
    assert!(!first.has_room(), "a closed store admits nothing");

    let second = dir.open().await;
    second.record(row("req_2", 1, 5, Duration::ZERO));
    drop(second);
    // Without close() the writer ends on its own, having written everything.
    let third = loop {
        match SqliteStore::open(&dir.url()).await {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let spent = third.spent(Spent::All, SystemTime::UNIX_EPOCH).await;
    assert_eq!(spent.expect("a sum"), Money::from_nanos(10));
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
async fn rows_wait_while_the_file_cannot_be_written_and_are_written_later() {
    let dir = Dir::new("trouble");
    let store = dir.open().await;
    let mut raw = dir.raw().await;
    let away = "ALTER TABLE llm_calls RENAME TO elsewhere";
    let back = "ALTER TABLE elsewhere RENAME TO llm_calls";
    sqlx::query(away).execute(&mut raw).await.expect("renamed");
    for n in 0..100 {
        store.record(row(&format!("req_{n}"), 1, 1, Duration::ZERO));
    }
    let waiting = tokio::time::timeout(Duration::from_millis(200), store.flush()).await;
    assert!(waiting.is_err(), "flush waits");
    sqlx::query(back).execute(&mut raw).await.expect("renamed");
    store.flush().await.expect("the writer tries again");
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, 100);

    sqlx::query(away).execute(&mut raw).await.expect("renamed");
    store.record(row("req_lost", 1, 1, Duration::ZERO));
    let error = store.close().await.expect_err("a row is lost");
    assert!(error.message().starts_with("1 ledger row"), "{error}");
}

#[tokio::test]
async fn admission_stops_while_the_writer_is_too_far_behind() {
    let dir = Dir::new("admission");
    let store = dir.open().await;
    let mut raw = dir.raw().await;
    let lock = sqlx::query("BEGIN IMMEDIATE").execute(&mut raw).await;
    lock.expect("the file is locked");
    let one = row("req", 1, 1, Duration::ZERO);
    for attempt in 0..50_000 {
        assert!(store.has_room());
        store.record(LedgerRow {
            attempt,
            ..one.clone()
        });
    }
    assert!(!store.has_room());
    sqlx::query("ROLLBACK")
        .execute(&mut raw)
        .await
        .expect("unlocked");
    store.flush().await.expect("written");
    assert!(store.has_room());
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, 50_000);
}

#[tokio::test]
async fn keys_survive_and_do_not_wait_for_a_busy_ledger() {
    let dir = Dir::new("keys_survive");
    let store = dir.open().await;
    let (inside, beside) = (store.keys(), SqliteKeys::open(&dir.url()).await);
    let beside = beside.expect("the keys of a database in use");
    for n in 0..20_000 {
        store.record(row(&format!("req_{n}"), 1, 1, Duration::ZERO));
        if n % 1_000 == 0 {
            let keys = if n % 2_000 == 0 { &inside } else { &beside };
            let inserted = keys.insert(&key(&format!("k_{n}"), n)).await;
            inserted.expect("never locked out");
        }
    }
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
