mod kept;
mod sink;
mod starts;
mod under_way;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rungs::{
    catalog::Money,
    store::{Durability, Ledger, LedgerRow, journal::Journal, sqlite::SqliteStore},
    testing::ledger_contract::{self as contract, row},
};

use crate::dir::Dir;

const KEY: [u8; 32] = [7; 32];

async fn open(dir: &Dir) -> (Journal, Arc<SqliteStore>) {
    let store = Arc::new(dir.open().await);
    let journal = Journal::open(&folder(dir), store.clone(), &KEY).await;
    (journal.expect("the journal opens"), store)
}

fn folder(dir: &Dir) -> PathBuf {
    dir.0.join("rungs.db.journal")
}

fn cheap(request: &str) -> LedgerRow {
    row(request, 1, 1, Duration::ZERO)
}

/// A journal with rows up to `req_<rows - 1>`, each on the disk before the next is taken.
async fn filled(dir: &Dir, rows: u32) -> (Journal, Arc<SqliteStore>) {
    let (journal, store) = open(dir).await;
    for n in 0..rows {
        journal.record(cheap(&format!("req_{n}")));
        safe(&journal).await;
    }
    (journal, store)
}

async fn safe(journal: &Journal) {
    if let Some(safe) = journal.survives(Durability::PowerLoss) {
        safe.await.expect("the rows are safe");
    }
}

/// What a process that is killed leaves behind: its files as they are, and nothing said.
fn killed(dir: &Dir, name: &str) -> Dir {
    let copy = Dir::new(name);
    copy_folder(&dir.0, &copy.0).expect("the files are copied");
    copy
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn segment(dir: &Dir) -> PathBuf {
    folder(dir).join("000000000001.segment")
}

#[tokio::test]
async fn the_ledger_keeps_its_contract() {
    let dir = Dir::new("journal_contract");
    contract::ledger(&open(&dir).await.0).await;
}

#[tokio::test]
async fn who_waits_on_another_runtime_or_on_none_is_told_as_well() {
    let dir = Dir::new("runtimes");
    let (journal, _store) = open(&dir).await;
    let journal = Arc::new(journal);
    let write = |name: String| {
        let journal = Arc::clone(&journal);
        async move {
            for n in 0..25 {
                journal.record(cheap(&format!("req_{name}_{n}")));
                safe(&journal).await;
            }
        }
    };
    let threads = (0..4).map(|thread| {
        let rows = write(thread.to_string());
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime starts").block_on(rows);
        })
    });
    let threads: Vec<_> = threads.collect();
    write("here".to_owned()).await;
    for thread in threads {
        thread.join().expect("no thread panics");
    }
    let journal = Arc::clone(&journal);
    let outside = std::thread::spawn(move || {
        journal.record(cheap("req_outside"));
        let safe = journal.survives(Durability::PowerLoss);
        journal.record(cheap("req_later"));
        safe
    });
    let safe = outside.join().expect("no thread panics");
    safe.expect("it is not written yet")
        .await
        .expect("it is safe");
}

#[tokio::test]
async fn who_waits_for_a_row_is_told_also_when_the_runtime_that_it_came_from_is_gone() {
    let dir = Dir::new("runtime_gone");
    let (journal, _store) = open(&dir).await;
    let other = tokio::runtime::Builder::new_current_thread().build();
    let other = other.expect("a runtime");
    let handle = other.handle().clone();
    let ask = |request| {
        let _inside = handle.enter();
        journal.record(cheap(request));
        journal.survives(Durability::PowerLoss)
    };
    // Nothing of it has run when it ends.
    let before = ask("req_before").expect("it is not written yet");
    std::thread::spawn(move || drop(other))
        .join()
        .expect("it ends");
    let behind = ask("req_behind").expect("it is not written yet");
    let both = async { tokio::join!(before, behind) };
    let told = tokio::time::timeout(Duration::from_secs(10), both).await;
    let (before, behind) = told.expect("nobody is forgotten");
    before.and(behind).expect("the rows are safe");
}

#[tokio::test]
async fn nobody_waits_for_a_journal_that_is_closed() {
    let dir = Dir::new("closed");
    let (journal, _store) = filled(&dir, 1).await;
    journal.close().await;
    journal.record(cheap("req_late"));
    let late = journal
        .survives(Durability::Crash)
        .expect("it is not written");
    let told = tokio::time::timeout(Duration::from_secs(10), late).await;
    let error = told.expect("nobody waits").expect_err("it is not safe");
    assert!(error.message().contains("closed"), "{error}");
}

#[tokio::test]
async fn fifty_thousand_rows_are_written_once_each_and_found_again() {
    const THREADS: u32 = 8;
    const ROWS: u32 = 6_250;
    // When all before them are shipped, so that segments are let go.
    const LAST: i64 = 1_000;
    let dir = Dir::new("many_rows");
    let (journal, store) = open(&dir).await;
    let journal = Arc::new(journal);
    let threads = (0..THREADS).map(|thread| {
        let journal = journal.clone();
        std::thread::spawn(move || {
            for n in 0..ROWS {
                let request = format!("req_{thread}_{n}");
                let row = row(&request, 1, i64::from(n), Duration::ZERO);
                let begun = journal.begin(&row).unwrap();
                journal.end(begun, row);
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("no thread panics");
    }
    journal.flush().await.expect("all are shipped");
    let rows = i64::from(THREADS * ROWS);
    let cost = i64::from(THREADS) * i64::from(ROWS) * i64::from(ROWS - 1) / 2;
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, rows);
    for n in 0..LAST {
        journal.record(cheap(&format!("req_last_{n}")));
    }
    journal.close().await;
    store.close().await.expect("it closes");

    let (journal, store) = open(&dir).await;
    let spent = journal.spent("key:k_1", SystemTime::UNIX_EPOCH, None).await;
    assert_eq!(spent.expect("a sum"), Money::from_nanos(cost + LAST));
    journal.close().await;
    store.close().await.expect("it closes");
    assert_eq!(
        dir.number("SELECT COUNT(*) FROM llm_calls").await,
        rows + LAST
    );
    let bytes = i64::try_from(dir.file().metadata().expect("a file").len()).expect("small");
    assert!(bytes / rows <= 400, "{} bytes a row", bytes / rows);
    let files = std::fs::read_dir(folder(&dir)).unwrap().count();
    assert!(files <= 4, "segments are used again, not piled up: {files}");
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = Dir::new("two_journals");
    let (journal, store) = open(&dir).await;
    let error = Journal::open(&folder(&dir), store.clone(), &KEY).await;
    let error = error.expect_err("one owner");
    assert!(error.message().contains("in use by another"), "{error}");
    journal.close().await;
    assert!(!journal.has_room(), "a closed journal admits nothing");
    journal.close().await;
    Journal::open(&folder(&dir), store, &KEY)
        .await
        .expect("it is free");
}

#[tokio::test]
async fn names_of_any_length_are_taken() {
    let dir = Dir::new("long_names");
    let (journal, _) = open(&dir).await;
    let long = LedgerRow {
        user: Some("é".repeat(5_000).into()),
        conversation: Some("c".repeat(5_000).into()),
        ..cheap("req_1")
    };
    let begun = journal.begin(&long).unwrap();
    assert!(journal.has_room());
    journal.end(begun, long);
    journal.flush().await.expect("shipped");
    assert_eq!(
        dir.number("SELECT length(user_id) FROM llm_calls").await,
        64
    );
}

#[tokio::test]
async fn names_too_long_to_write_down_hold_up_nobody_else() {
    let dir = Dir::new("too_long_names");
    let (journal, _) = open(&dir).await;
    let long = LedgerRow {
        accounts: Arc::new([format!("user:{}", "u".repeat(2_000)).into()]),
        ..cheap("req_1")
    };
    journal.record(cheap("req_2"));
    let begun = journal.begin(&long).unwrap();
    assert!(journal.has_room());
    if let Some(safe) = journal.survives(Durability::PowerLoss) {
        safe.await.expect("who waits is not told of it");
    }
    journal.end(begun, long);
    journal.flush().await.expect("shipped");
    assert_eq!(dir.number("SELECT count(*) FROM llm_calls").await, 2);
}

#[tokio::test]
async fn a_row_larger_than_a_segment_has_one_of_its_own() {
    let dir = Dir::new("large_rows");
    let (journal, _store) = open(&dir).await;
    let large = |request| LedgerRow {
        accounts: Arc::new([format!("user:{}", "u".repeat(5 << 20)).into()]),
        ..cheap(request)
    };
    for row in [
        cheap("req_1"),
        large("req_2"),
        large("req_3"),
        cheap("req_4"),
    ] {
        journal.record(row);
    }
    let written = tokio::time::timeout(Duration::from_secs(20), safe(&journal)).await;
    written.expect("nobody waits for ever");
    let copy = killed(&dir, "large_rows_killed");
    let (journal, _store) = open(&copy).await;
    journal.record(cheap("req_5"));
    journal.flush().await.expect("shipped");
    assert_eq!(copy.number("SELECT count(*) FROM llm_calls").await, 5);
}
