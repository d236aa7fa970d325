//! Names of calls in a file, and in a database that processes share: over restarts, kills, outages, and two processes at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rungs::{
    ErrorKind,
    store::{
        Begun, Durability, IdempotencyStore, KeptOutcome, Spool, StoreFuture, Topic,
        memory::MemoryIdempotency,
        spool::{FileSpool, Left},
    },
    testing::store_contract::{self as contract, kept},
};

use sqlx::{Connection, Row};

use crate::{dir::Dir, postgres::Database};

const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(86_400);

fn near() -> MemoryIdempotency {
    MemoryIdempotency::new(1 << 20)
}

fn spool(dir: &Dir) -> Arc<FileSpool> {
    Arc::new(FileSpool::open(&dir.0.join("spool")).expect("a spool"))
}

async fn begin(store: &impl IdempotencyStore, name: u8, question: u8, patience: Duration) -> Begun {
    let begun = store.begin(&[name; 32], &[question; 32], patience).await;
    begun.expect("the store answers")
}

async fn claim(store: &impl IdempotencyStore, name: u8) -> u64 {
    match begin(store, name, 1, SOON).await {
        Begun::New(claim) => claim,
        begun => unreachable!("not free: {begun:?}"),
    }
}

async fn answer(store: &impl IdempotencyStore, name: u8, text: &'static str) {
    let claim = claim(store, name).await;
    store.finish(&[name; 32], claim, kept([1; 32], text), DAY);
}

fn text(begun: &Begun) -> String {
    let Begun::Done(call) = begun else {
        unreachable!("no answer: {begun:?}");
    };
    match &call.outcome {
        KeptOutcome::Answer { answer, .. } => {
            String::from_utf8(answer.data[0].to_vec()).expect("text")
        }
        KeptOutcome::Failed(error) => unreachable!("{error}"),
    }
}

#[tokio::test]
async fn they_keep_their_contract() {
    let dir = Dir::new("names_contract");
    let store = dir.open().await;
    contract::idempotency_store(&store.names(near(), None)).await;
    contract::idempotency_store(&Database::new().store().names(near(), None)).await;
}

#[tokio::test]
async fn a_file_has_what_came_of_a_call_after_a_restart_and_a_claim_ends_with_its_process() {
    let dir = Dir::new("names_restart");
    let store = dir.open().await;
    let names = store.names(near(), None);
    answer(&names, 1, "42").await;
    claim(&names, 2).await;
    names.flush().await.expect("it is written");
    store.close().await.expect("it closes");
    drop((names, store));
    let store = dir.open().await;
    let names = store.names(near(), None);
    assert_eq!(text(&begin(&names, 1, 1, SOON).await), "42");
    assert!(matches!(begin(&names, 1, 2, SOON).await, Begun::Different));
    claim(&names, 2).await;
}

#[tokio::test]
async fn names_that_have_had_their_time_go() {
    let dir = Dir::new("names_pruned");
    let store = dir.open().await;
    let names = store.names(near(), None);
    for (name, ttl) in [(1, Duration::from_millis(1)), (2, DAY)] {
        let claim = claim(&names, name).await;
        names.finish(&[name; 32], claim, kept([1; 32], "42"), ttl);
    }
    names.flush().await.expect("it is written");
    tokio::time::sleep(Duration::from_millis(20)).await;
    // A store that begins looks at once.
    let _again = store.names(near(), None);
    crate::postgres::until(async || dir.number("SELECT count(*) FROM call_names").await == 1).await;
}

#[tokio::test]
async fn however_many_names_have_had_their_time_they_go_at_once() {
    let dir = Dir::new("names_pruned_all");
    let store = dir.open().await;
    let mut raw = dir.raw().await;
    let old = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3500) \
               INSERT INTO call_names (name, state, until_ms) SELECT CAST('old' || n AS BLOB), x'00', 1 FROM n";
    sqlx::query(old).execute(&mut raw).await.expect("old names");
    raw.close().await.expect("it closes");
    let names = store.names(near(), None);
    answer(&names, 1, "42").await;
    names.flush().await.expect("jobs go on meanwhile");
    crate::postgres::until(async || dir.number("SELECT count(*) FROM call_names").await == 1).await;
}

/// What `answer(_, _, "42")` leaves under a name, as each version has written it; the last is this one.
const VERSIONS: [&[u8]; 2] = [
    include_bytes!("../fixtures/names/1.bin"),
    include_bytes!("../fixtures/names/2.bin"),
];

#[tokio::test]
async fn what_other_versions_have_kept_is_read_or_told_apart_and_never_carried_out_again() {
    let dir = Dir::new("names_versions");
    let store = dir.open().await;
    let mut raw = dir.raw().await;
    let newest = VERSIONS[VERSIONS.len() - 1];
    let (mut later, mut alien) = (newest.to_vec(), newest.to_vec());
    (later[33], alien[0]) = (99, b'Z');
    let states = VERSIONS.into_iter().chain([&later[..], &alien[..]]);
    for (name, state) in (1..).zip(states) {
        let kept = "INSERT INTO call_names (name, state, until_ms) VALUES ($1, $2, $3)";
        let kept = sqlx::query(kept).bind(vec![name; 32]).bind(state);
        let kept = kept.bind(i64::MAX).execute(&mut raw).await;
        kept.expect("it is kept");
    }
    let names = store.names(near(), None);
    for name in [1, 2] {
        assert_eq!(text(&begin(&names, name, 1, SOON).await), "42");
    }
    for name in [3, 4] {
        let Begun::Failed(error) = begin(&names, name, 1, SOON).await else {
            unreachable!("nobody can read it");
        };
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("use another key"), "{error}");
        assert_eq!(error.get_retry_after(), None, "waiting is of no use");
    }
    for name in [1, 2, 3, 4] {
        let other = begin(&names, name, 2, SOON).await;
        assert!(matches!(other, Begun::Different), "{name}: {other:?}");
    }
    answer(&names, 9, "42").await;
    names.flush().await.expect("it is written");
    let written = sqlx::query("SELECT state FROM call_names WHERE name = $1").bind(vec![9; 32]);
    let written = written.fetch_one(&mut raw).await.expect("a name");
    raw.close().await.expect("it closes");
    assert_eq!(
        written.get::<&[u8], _>(0),
        newest,
        "a new form needs a fixture of its own"
    );
}

/// More names than a byte has.
fn numbered(n: u16) -> [u8; 32] {
    let mut name = [0; 32];
    name[..2].copy_from_slice(&n.to_be_bytes());
    name
}

async fn claim_numbered(store: &impl IdempotencyStore, n: u16) -> u64 {
    let begun = store.begin(&numbered(n), &[1; 32], SOON).await;
    match begun.expect("the store answers") {
        Begun::New(claim) => claim,
        begun => unreachable!("not free: {begun:?}"),
    }
}

#[tokio::test]
async fn however_many_claims_there_are_they_are_renewed_in_one_go() {
    const CLAIMS: u16 = 300;
    let database = Database::new();
    let (one, two) = (database.store(), database.store());
    let (one, two) = (one.names(near(), None), two.names(near(), None));
    for n in 0..CLAIMS {
        claim_numbered(&one, n).await;
    }
    // Those of one transaction.
    let renewed =
        "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM call_names GROUP BY xmin) AS _";
    tokio::time::sleep(Duration::from_secs(4)).await;
    crate::postgres::until(async || database.number(renewed).await == i64::from(CLAIMS)).await;
    for n in [0, CLAIMS / 2, CLAIMS - 1] {
        let begun = two.begin(&numbered(n), &[1; 32], SOON).await;
        assert!(matches!(begun, Ok(Begun::Busy)), "{begun:?}");
    }
    let least = "SELECT min(until_ms) - (extract(epoch FROM now()) * 1000)::BIGINT FROM call_names";
    assert!(database.number(least).await > 10_000, "for a whole lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_names_as_come_while_the_database_is_away_arrive_there() {
    const CALLS: u16 = 4_500;
    let mut database = Database::new();
    let names = database.store().names(near(), None);
    claim_numbered(&names, CALLS).await;
    database.server.stop().expect("it stops");
    for n in 0..CALLS {
        let claim = claim_numbered(&names, n).await;
        names.finish(&numbered(n), claim, kept([1; 32], "42"), DAY);
    }
    database.server.restart().expect("it starts");
    let start = std::time::Instant::now();
    let arrived = "SELECT count(*) FROM call_names WHERE length(state) > 100";
    while database.number(arrived).await < i64::from(CALLS) {
        assert!(start.elapsed() < Duration::from_secs(60), "some never come");
        names.flush().await.expect("it goes on");
    }
}

#[tokio::test]
async fn processes_that_share_a_database_carry_a_call_out_once() {
    let database = Database::new();
    let (one, two) = (database.store(), database.store());
    let (one, two) = (one.names(near(), None), two.names(near(), None));
    let first = claim(&one, 1).await;
    assert!(matches!(begin(&two, 1, 1, SOON).await, Begun::Busy));
    assert!(matches!(begin(&two, 1, 2, LATER).await, Begun::Different));
    let waiting = begin(&two, 1, 1, LATER);
    let finishing = async {
        tokio::time::sleep(SOON).await;
        one.finish(&[1; 32], first, kept([1; 32], "42"), DAY);
    };
    let (begun, ()) = futures_util::future::join(waiting, finishing).await;
    assert_eq!(text(&begun), "42");
    let second = claim(&one, 2).await;
    one.abandon(&[2; 32], second, None);
    assert!(
        matches!(begin(&two, 2, 1, LATER).await, Begun::New(_)),
        "given up by the other"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_a_name_holds_here_and_what_came_of_its_call_arrives_later() {
    let mut database = Database::new();
    let dir = Dir::new("names_away");
    let (store, spool) = (database.store(), spool(&dir));
    // A process, as far as its tasks go.
    let process = tokio::runtime::Runtime::new().expect("a runtime");
    let kept = Arc::clone(&spool);
    let names = process.spawn(async move {
        let names = store.names(near(), Some(kept));
        answer(&names, 1, "before").await;
        names.flush().await.expect("it is written");
        names
    });
    let names = names.await.expect("it is done");
    database.server.stop().expect("it stops");
    answer(&names, 2, "meanwhile").await;
    assert_eq!(text(&begin(&names, 2, 1, SOON).await), "meanwhile");
    assert!(matches!(begin(&names, 2, 2, SOON).await, Begun::Different));
    if let Some(safe) = spool.survives(Durability::PowerLoss) {
        safe.await.expect("it is written");
    }
    // Killed: nobody closes anything.
    process.shutdown_background();
    let copy = Dir::new("names_away_copy");
    let folder = copy.0.join("spool");
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in std::fs::read_dir(dir.0.join("spool")).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), folder.join(file.file_name())).expect("it is copied");
    }
    let again = database.store();
    let again = again.names(near(), Some(crate::names::spool(&copy)));
    assert_eq!(text(&begin(&again, 2, 1, SOON).await), "meanwhile");
    database.server.restart().expect("it starts");
    again.flush().await.expect("it is written");
    let other = database.store();
    let other = other.names(near(), None);
    for (name, said) in [(1, "before"), (2, "meanwhile")] {
        assert_eq!(text(&begin(&other, name, 1, LATER).await), said);
    }
}

/// A spool that only counts the bytes that it is given.
#[derive(Default)]
struct Counting {
    bytes: AtomicUsize,
    full: AtomicBool,
}

impl Spool for Counting {
    fn add(&self, _: Topic, record: Vec<u8>) -> u64 {
        self.bytes.fetch_add(record.len(), Ordering::Relaxed) as u64
    }

    fn done(&self, _: &[u64]) {}

    fn has_room(&self) -> bool {
        !self.full.load(Ordering::Relaxed)
    }

    fn survives(&self, _: Durability) -> Option<StoreFuture<'static, ()>> {
        None
    }

    fn left(&self, _: Topic) -> Vec<Left> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_gets_no_more_than_it_has_room_for_and_no_more_than_waits() {
    const WAITS: usize = 64 << 20;
    let mut database = Database::new();
    let spool = Arc::new(Counting::default());
    let names = database.store().names(near(), Some(spool.clone()));
    spool.full.store(true, Ordering::Relaxed);
    answer(&names, 1, "42").await;
    names.flush().await.expect("it is written");
    assert_eq!(spool.bytes.load(Ordering::Relaxed), 0);
    let other = database.store().names(near(), None);
    assert_eq!(text(&begin(&other, 1, 1, LATER).await), "42");

    spool.full.store(false, Ordering::Relaxed);
    database.server.stop().expect("it stops");
    let long: &'static str = String::leak("x".repeat(1 << 20));
    for n in 0..80 {
        let claim = claim_numbered(&names, n).await;
        names.finish(&numbered(n), claim, kept([1; 32], long), DAY);
    }
    let given = spool.bytes.load(Ordering::Relaxed);
    assert!((WAITS - (2 << 20)..=WAITS).contains(&given), "{given}");
}
