//! What a start finds: what a kill left, damage, and what does not belong together.

use rungs::{Error, ErrorKind, store::RowStatus};

use super::*;

#[tokio::test]
async fn what_was_safe_survives_a_kill_and_what_was_under_way_is_charged() {
    let dir = Dir::new("kill_before");
    let (journal, _) = open(&dir).await;
    let begun = |n: i64| row(&format!("open_{n}"), 1, 1_000 * n, Duration::ZERO);
    let open_rows = [1, 2, 3].map(|n| {
        let intent = journal
            .begin(&LedgerRow {
                status: RowStatus::Interrupted,
                ..begun(n)
            })
            .unwrap();
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
    let begun = journal.begin(&cheap("req_1")).unwrap();
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

/// After a loss of power rows that were never synced may be there without one before them.
#[tokio::test]
async fn what_stands_behind_a_torn_row_is_not_taken_for_what_comes_later() {
    let dir = Dir::new("torn_behind");
    let (_journal, _) = filled(&dir, 3).await;
    let mut torn = std::fs::read(segment(&dir)).unwrap();
    let record = |number: u64| {
        let number = number.to_le_bytes();
        (40..).find(|at| torn[at + 8..at + 16] == number).unwrap()
    };
    let (second, third) = (record(2), record(3));
    torn[second + 60] ^= 1;
    // The third was written before the second was synced.
    torn[third + 16..third + 24].copy_from_slice(&1_u64.to_le_bytes());
    let length = u32::from_le_bytes(torn[third + 4..third + 8].try_into().unwrap()) as usize;
    let sum = crc32c::crc32c(&torn[third + 4..third + length]);
    torn[third..third + 4].copy_from_slice(&sum.to_le_bytes());
    let copy = Dir::new("torn_behind_copy");
    std::fs::create_dir_all(folder(&copy)).unwrap();
    std::fs::write(segment(&copy), torn).unwrap();
    let mut rows = 1;
    for request in ["req_8", "req_9"] {
        let (journal, store) = open(&copy).await;
        journal.record(cheap(request));
        journal.flush().await.expect("shipped");
        rows += 1;
        assert_eq!(copy.number("SELECT COUNT(*) FROM llm_calls").await, rows);
        journal.close().await;
        store.close().await.unwrap();
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_kill_while_a_segment_is_used_again_locks_nothing_out() {
    let dir = Dir::new("reused");
    let (journal, _store) = open(&dir).await;
    // The first two segments are new; the third is the first one again.
    fail::cfg("journal.before_head", "2*off->return").unwrap();
    let mut told = 0;
    loop {
        let request = format!("req_{told}");
        journal.record(LedgerRow {
            accounts: Arc::new([format!("user:{}", "u".repeat(3_000)).into()]),
            ..cheap(&request)
        });
        if let Some(safe) = journal.survives(Durability::PowerLoss)
            && safe.await.is_err()
        {
            break;
        }
        told += 1;
        journal.flush().await.expect("shipped");
    }
    assert!((60..200).contains(&told), "{told}");
    let copy = killed(&dir, "reused_copy");
    let names: Vec<_> = std::fs::read_dir(folder(&copy)).unwrap().collect();
    fail::remove("journal.before_head");
    let (journal, _) = open(&copy).await;
    journal.flush().await.expect("shipped");
    let rows = copy.number("SELECT COUNT(*) FROM llm_calls").await;
    assert_eq!(rows, told, "{names:?}");
}

/// There may be room for rows where there is none for attempts.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn an_attempt_that_cannot_be_written_down_does_not_begin_and_troubles_nobody_else() {
    let dir = Dir::new("begin_fails");
    let (journal, _) = open(&dir).await;
    journal.record(cheap("req_1"));
    let waits = journal.survives(Durability::PowerLoss);
    fail::cfg("journal.begin", "return").unwrap();
    let error = journal.begin(&cheap("req_2")).map(drop).unwrap_err();
    fail::remove("journal.begin");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(journal.has_room());
    if let Some(safe) = waits {
        safe.await.expect("its row is written");
    }
    assert!(journal.begin(&cheap("req_3")).is_ok());
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
    // Another layout of the head, or one that is damaged: of the newest segment, and of one that is not.
    let mut headless = whole.clone();
    headless[9] ^= 1;
    assert!(opened(&headless, &KEY).await.contains("no head"));
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
