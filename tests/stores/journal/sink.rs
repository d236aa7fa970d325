//! A store that is away, or behind.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use rungs::{
    Error, ErrorKind,
    store::{Chain, Entry, LedgerSink, StoreFuture},
};

use super::*;

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
    fn write(&self, entries: Arc<[Entry]>) -> StoreFuture<'_, ()> {
        if self.away.load(Ordering::Relaxed) {
            let error = Error::new(ErrorKind::Unavailable, "away");
            return Box::pin(std::future::ready(Err(error)));
        }
        self.sink.write(entries)
    }

    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>> {
        self.sink.last()
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        self.sink.spent(account, since, until)
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
        let spent = journal.spent("key:k_1", SystemTime::UNIX_EPOCH, None).await;
        spent.expect("a sum").nanos()
    };
    for n in 0..5_000 {
        journal.record(cheap(&format!("req_{n}")));
    }
    safe(&journal).await;
    assert_eq!(spent(&journal).await, 5_000);
    let old = journal.spent("key:k_1", SystemTime::now(), None).await;
    assert_eq!(old.expect("a sum"), Money::ZERO, "before that");
    let other = journal.spent("key:k", SystemTime::UNIX_EPOCH, None).await;
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
    let begun = journal.begin(&one).unwrap();
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

/// Who begins while nothing can be written is told what is to be written; and again when some of it is.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn what_cannot_be_written_is_spent_and_counts_once() {
    let dir = Dir::new("unwritten");
    let (journal, _store) = open(&dir).await;
    let spent = async || {
        let spent = journal.spent("key:k_1", SystemTime::UNIX_EPOCH, None).await;
        spent.map(|spent| spent.nanos())
    };
    journal.record(cheap("req_1"));
    safe(&journal).await;
    fail::cfg("journal.before_write", "5*return->off").unwrap();
    for n in 2..=100 {
        journal.record(cheap(&format!("req_{n}")));
    }
    let failed = journal.survives(Durability::PowerLoss);
    failed.expect("not written").await.expect_err("it fails");
    assert!(!journal.has_room());
    assert_eq!(spent().await.expect("a sum"), 100);
    while !journal.has_room() {
        // The writer may be at it for too long just then.
        if let Ok(nanos) = spent().await {
            assert_eq!(nanos, 100);
        }
    }
    assert_eq!(spent().await.expect("a sum"), 100);
    journal.flush().await.expect("shipped");
    assert_eq!(spent().await.expect("a sum"), 100);
}
