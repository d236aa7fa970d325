use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rungs::{
    Error, ErrorKind,
    catalog::Money,
    store::{
        Chain, Durability, Entry, Ledger, LedgerRow, LedgerSink, RowStatus, StoreFuture,
        journal::Journal, sqlite::SqliteStore,
    },
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
    let dir = Dir::new("many_rows");
    let (journal, store) = open(&dir).await;
    let journal = Arc::new(journal);
    let threads = (0..THREADS).map(|thread| {
        let journal = journal.clone();
        std::thread::spawn(move || {
            for n in 0..ROWS {
                let request = format!("req_{thread}_{n}");
                let row = row(&request, 1, i64::from(n), Duration::ZERO);
                let begun = journal.begin(&row);
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
    journal.record(cheap("req_last"));
    journal.close().await;
    store.close().await.expect("it closes");

    let (journal, store) = open(&dir).await;
    let spent = journal.spent("key:k_1", SystemTime::UNIX_EPOCH).await;
    assert_eq!(spent.expect("a sum"), Money::from_nanos(cost + 1));
    journal.close().await;
    store.close().await.expect("it closes");
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, rows + 1);
    let bytes = i64::try_from(dir.file().metadata().expect("a file").len()).expect("small");
    assert!(bytes / rows <= 400, "{} bytes a row", bytes / rows);
    let files = std::fs::read_dir(folder(&dir)).unwrap().count();
    assert!(files <= 4, "segments are used again, not piled up: {files}");
}

#[tokio::test]
async fn what_was_safe_survives_a_kill_and_what_was_under_way_is_charged() {
    let dir = Dir::new("kill_before");
    let (journal, _) = open(&dir).await;
    let begun = |n: i64| row(&format!("open_{n}"), 1, 1_000 * n, Duration::ZERO);
    let open_rows = [1, 2, 3].map(|n| {
        let intent = journal.begin(&LedgerRow {
            status: RowStatus::Interrupted,
            ..begun(n)
        });
        (n, intent)
    });
    journal.record(cheap("done"));
    for (n, intent) in open_rows {
        if n == 2 {
            journal.end(intent, row("open_2", 1, 5, Duration::ZERO));
        }
    }
    safe(&journal).await;
    let after = killed(&dir, "kill_after");

    let (journal, _) = open(&after).await;
    journal.flush().await.expect("shipped");
    let rows = "SELECT COUNT(*) FROM llm_calls WHERE status = 'interrupted'";
    assert_eq!(after.number(rows).await, 2);
    assert_eq!(after.number("SELECT COUNT(*) FROM llm_calls").await, 4);
    let cost = "SELECT SUM(cost_nanos) FROM llm_calls";
    assert_eq!(after.number(cost).await, 1 + 5 + 1_000 + 3_000);

    // A second start finds nothing more to charge, also if this one is killed.
    let again = killed(&after, "kill_again");
    let (journal, _) = open(&again).await;
    journal.flush().await.expect("shipped");
    assert_eq!(again.number(cost).await, 1 + 5 + 1_000 + 3_000);
}

#[tokio::test]
async fn what_ended_before_a_kill_is_not_charged_again_when_its_segment_is_gone() {
    let dir = Dir::new("ended");
    let (journal, _store) = open(&dir).await;
    let begun = journal.begin(&cheap("req_1"));
    journal.end(begun, cheap("req_1"));
    safe(&journal).await;
    let dir = killed(&dir, "ended_killed");
    let (journal, store) = open(&dir).await;
    journal.flush().await.expect("shipped");
    journal.close().await;
    std::fs::remove_file(segment(&dir)).expect("it goes");
    let journal = start(&dir, &store).await.expect("it starts");
    journal.flush().await.expect("shipped");
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, 1);
}

/// Starts when the start before, which failed, has given the folder free.
async fn start(dir: &Dir, store: &Arc<SqliteStore>) -> Result<Journal, Error> {
    let tries = async {
        loop {
            match Journal::open(&folder(dir), store.clone(), &KEY).await {
                Err(error) if error.message().contains("in use") => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                started => return started,
            }
        }
    };
    let started = tokio::time::timeout(Duration::from_secs(20), tries).await;
    started.expect("it gives up")
}

#[tokio::test]
async fn what_was_under_way_is_charged_though_the_next_start_fails() {
    let dir = Dir::new("start_fails");
    let (journal, _store) = open(&dir).await;
    let _begun = journal.begin(&cheap("req_1"));
    let dir = killed(&dir, "start_failed");
    // No segment can be made.
    let unfinished = folder(&dir).join("000000000001.new");
    std::fs::create_dir(&unfinished).expect("a folder");
    let store = Arc::new(dir.open().await);
    for _ in 0..2 {
        let error = start(&dir, &store).await.expect_err("it fails");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    std::fs::remove_dir(&unfinished).expect("it goes");
    let journal = start(&dir, &store).await.expect("it starts");
    journal.flush().await.expect("shipped");
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, 1);
}

#[tokio::test]
async fn a_tail_that_a_crash_tore_off_is_cut_wherever_it_is_torn() {
    let dir = Dir::new("torn");
    let (_journal, _) = filled(&dir, 3).await;
    // Nothing is shipped yet, or all is: both ways the first two rows are there.
    let whole = std::fs::read(segment(&dir)).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let third = (40..end)
        .rfind(|at| whole[at + 8..at + 16] == 3_u64.to_le_bytes())
        .unwrap();
    for cut in third..end {
        let copy = Dir::new("torn_copy");
        std::fs::create_dir_all(folder(&copy)).unwrap();
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        std::fs::write(segment(&copy), torn).unwrap();
        let (journal, store) = open(&copy).await;
        journal.record(cheap("next"));
        journal.flush().await.expect("shipped");
        // A last byte that is zero anyway is not missed.
        let rows = copy.number("SELECT COUNT(*) FROM llm_calls").await;
        assert!(
            rows == 3 || (rows == 4 && whole[cut..end].iter().all(|b| *b == 0)),
            "cut at {cut}: {rows}"
        );
        journal.close().await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn damage_that_is_no_crash_is_named_and_nothing_is_changed() {
    let dir = Dir::new("damage");
    let (journal, _) = filled(&dir, 4).await;
    journal.close().await;
    let whole = std::fs::read(segment(&dir)).unwrap();
    let second = (40..whole.len())
        .find(|at| whole[at + 8..at + 16] == 2_u64.to_le_bytes())
        .unwrap();
    let copy = Dir::new("damage_copy");
    std::fs::create_dir_all(folder(&copy)).unwrap();
    let store = Arc::new(copy.open().await);
    let opened = async |bytes: &[u8], key: &[u8; 32]| {
        std::fs::write(segment(&copy), bytes).unwrap();
        let opened = Journal::open(&folder(&copy), store.clone(), key).await;
        assert_eq!(std::fs::read(segment(&copy)).unwrap(), bytes);
        opened.expect_err("it cannot be used").message().to_owned()
    };
    // One bit.
    let mut damaged = whole.clone();
    damaged[second + 60] ^= 1;
    assert!(opened(&damaged, &KEY).await.contains("row 2 is damaged"));
    // A row that somebody altered and summed up anew, without the secret.
    let length = u32::from_le_bytes(whole[second + 4..second + 8].try_into().unwrap()) as usize;
    let mut forged = whole.clone();
    forged[second + 60] ^= 1;
    let sum = crc32c::crc32c(&forged[second + 4..second + length]);
    forged[second..second + 4].copy_from_slice(&sum.to_le_bytes());
    assert!(opened(&forged, &KEY).await.contains("row 2 was altered"));
    // Another secret.
    assert!(opened(&whole, &[8; 32]).await.contains("row 1 was altered"));
    // Another layout of the head.
    let mut headless = whole.clone();
    headless[9] ^= 1;
    std::fs::write(folder(&copy).join("000000000002.segment"), &whole).unwrap();
    assert!(opened(&headless, &KEY).await.contains("no head"));
}

#[tokio::test]
async fn a_journal_and_a_store_that_do_not_belong_together_are_told_apart() {
    let dir = Dir::new("apart");
    let (journal, store) = filled(&dir, 1).await;
    let early = killed(&dir, "apart_early");
    journal.record(cheap("req_2"));
    journal.close().await;
    store.close().await.unwrap();

    // An old copy of the journal.
    std::fs::copy(segment(&early), segment(&dir)).unwrap();
    let store = Arc::new(dir.open().await);
    let error = Journal::open(&folder(&dir), store.clone(), &KEY).await;
    let error = error.expect_err("rows would get numbers that are taken");
    assert!(error.message().contains("old copy"), "{error}");
    // None at all: it goes on where the store ends.
    std::fs::remove_dir_all(folder(&dir)).unwrap();
    let journal = Journal::open(&folder(&dir), store.clone(), &KEY)
        .await
        .unwrap();
    journal.record(cheap("req_3"));
    journal.close().await;
    store.close().await.unwrap();
    assert_eq!(dir.number("SELECT MAX(seq) FROM llm_calls").await, 3);
    // The store of another gateway.
    let other = Dir::new("apart_other");
    let store = Arc::new(other.open().await);
    let error = Journal::open(&folder(&dir), store, &KEY).await;
    let error = error.expect_err("rows 1 and 2 are nowhere");
    assert!(error.message().contains("begins with row 3"), "{error}");
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

/// A sink that is away until it is told otherwise.
struct Away {
    sink: Arc<SqliteStore>,
    away: AtomicBool,
}

/// A journal whose sink is away.
async fn away(dir: &Dir) -> (Journal, Arc<Away>) {
    let sink = Arc::new(Away {
        sink: Arc::new(dir.open().await),
        away: AtomicBool::new(true),
    });
    (again(dir, &sink).await, sink)
}

/// The journal of the process after that.
async fn again(dir: &Dir, sink: &Arc<Away>) -> Journal {
    let journal = Journal::open(&folder(dir), sink.clone(), &KEY).await;
    journal.expect("the journal opens")
}

impl LedgerSink for Away {
    fn write<'a>(&'a self, entries: &'a [Entry]) -> StoreFuture<'a, ()> {
        if self.away.load(Ordering::Relaxed) {
            let error = Error::new(ErrorKind::Unavailable, "away");
            return Box::pin(std::future::ready(Err(error)));
        }
        self.sink.write(entries)
    }

    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>> {
        self.sink.last()
    }

    fn spent<'a>(&'a self, account: &'a str, since: SystemTime) -> StoreFuture<'a, Money> {
        self.sink.spent(account, since)
    }
}

#[tokio::test]
async fn rows_wait_while_the_store_is_away_and_are_shipped_in_the_end() {
    let dir = Dir::new("away");
    let (journal, sink) = away(&dir).await;
    for n in 0..20_000 {
        journal.record(cheap(&format!("req_{n}")));
    }
    safe(&journal).await;
    assert!(journal.has_room());
    assert_eq!(journal.backlog(), 20_000);
    let waiting = tokio::time::timeout(Duration::from_millis(200), journal.flush()).await;
    assert!(waiting.is_err(), "flush waits");
    // The end of the process loses nothing either.
    journal.close().await;
    sink.away.store(false, Ordering::Relaxed);
    let journal = again(&dir, &sink).await;
    journal.flush().await.expect("shipped");
    assert_eq!(dir.number("SELECT COUNT(*) FROM llm_calls").await, 20_000);
    assert_eq!(
        dir.number("SELECT SUM(cost_nanos) FROM llm_calls").await,
        20_000
    );
}

#[tokio::test]
async fn what_costs_nothing_is_shipped_though_more_of_it_comes_all_the_time() {
    let dir = Dir::new("free");
    let (journal, _store) = open(&dir).await;
    let shipping = async {
        let mut taken = 0;
        while journal.backlog() == taken {
            journal.record(LedgerRow {
                cost: Money::ZERO,
                ..cheap(&format!("req_{taken}"))
            });
            taken += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let shipped = tokio::time::timeout(Duration::from_secs(20), shipping).await;
    shipped.expect("some of it is shipped meanwhile");
}

#[tokio::test]
async fn what_is_on_its_way_is_spent_and_counts_once() {
    let dir = Dir::new("on_its_way");
    let (journal, sink) = away(&dir).await;
    let spent = async |journal: &Journal| {
        let spent = journal.spent("key:k_1", SystemTime::UNIX_EPOCH).await;
        spent.expect("a sum").nanos()
    };
    for n in 0..5_000 {
        journal.record(cheap(&format!("req_{n}")));
    }
    safe(&journal).await;
    assert_eq!(spent(&journal).await, 5_000);
    let old = journal.spent("key:k_1", SystemTime::now()).await;
    assert_eq!(old.expect("a sum"), Money::ZERO, "before that");
    let other = journal.spent("key:k", SystemTime::UNIX_EPOCH).await;
    assert_eq!(other.expect("a sum"), Money::ZERO, "another account");
    // While they arrive, at each moment.
    sink.away.store(false, Ordering::Relaxed);
    let arriving = async {
        while journal.backlog() > 0 {
            assert_eq!(spent(&journal).await, 5_000);
        }
    };
    let (flushed, ()) = tokio::join!(journal.flush(), arriving);
    flushed.expect("shipped");
    assert_eq!(spent(&journal).await, 5_000);
}

#[tokio::test]
async fn admission_stops_while_too_much_waits() {
    let dir = Dir::new("too_much");
    let (journal, sink) = away(&dir).await;
    let one = cheap("req");
    for attempt in 0..200_000 {
        assert!(journal.has_room());
        journal.record(LedgerRow {
            attempt,
            ..one.clone()
        });
    }
    assert!(!journal.has_room());
    // What costs nothing is not held up, and does not fill the memory either.
    for attempt in 0..60_000 {
        journal.record(LedgerRow {
            attempt,
            cost: Money::ZERO,
            ..one.clone()
        });
    }
    assert_eq!(journal.backlog(), 250_000);
    let begun = journal.begin(&one);
    journal.end(begun, one);
    assert_eq!(journal.backlog(), 250_001, "what was begun is written down");
    sink.away.store(false, Ordering::Relaxed);
    journal.flush().await.expect("shipped");
    assert!(journal.has_room());
}

#[tokio::test]
async fn a_hundred_thousand_rows_do_not_delay_a_start() {
    let dir = Dir::new("start");
    let (journal, sink) = away(&dir).await;
    for n in 0..100_000 {
        journal.record(cheap(&format!("req_00000000000000000000000000_{n}")));
    }
    safe(&journal).await;
    journal.close().await;
    let began = Instant::now();
    let journal = again(&dir, &sink).await;
    let took = began.elapsed();
    assert_eq!(journal.backlog(), 100_000);
    // 300 ms is for an optimised build; this one is not, and only shows that nothing is quadratic.
    println!("100,000 rows are read in {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
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
    let begun = journal.begin(&long);
    assert!(journal.has_room());
    journal.end(begun, long);
    journal.flush().await.expect("shipped");
    assert_eq!(
        dir.number("SELECT length(user_id) FROM llm_calls").await,
        64
    );
}
