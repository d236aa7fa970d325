//! T34: what was called is written down once for all, and what somebody altered or took out is named.

use std::time::UNIX_EPOCH;

use futures_util::future::join_all;
use rungs::{
    catalog::Money,
    store::{
        AuditEvent, AuditLog, AuditRow, AuditWalk, Finding, RowStatus, memory::MemoryAudit,
        postgres::PostgresStore,
    },
    testing::store_contract::{audit_findings, audit_log, audit_row},
};
use sqlx::{AssertSqlSafe, Connection};

use crate::{dir::Dir, postgres::Database};

const KEY: [u8; 32] = [7; 32];

/// What somebody sets in a row, one at a time: in the third, which has ended, and in the fourth, which was refused.
const ALTERED: [(u64, &str); 17] = [
    (3, "at_ms = at_ms - 1"),
    (3, "session_id = NULL"),
    (3, "tenant = 'rival'"),
    (3, "key_id = 'k_2'"),
    (3, "user_id = NULL"),
    // The same characters, in other columns.
    (
        3,
        "key_id = key_id || substr(user_id, 4, 1) || 'ann', user_id = 'b'",
    ),
    (3, "tool = 'fs_read'"),
    (3, "effect = 'read'"),
    (3, "arguments = (SELECT arguments FROM audit WHERE seq = 2)"),
    (3, "allowed_seq = 2"),
    (3, "outcome = 'cancelled'"),
    (3, "cost_nanos = 41"),
    (3, "cost_nanos = NULL"),
    (3, "chain = (SELECT chain FROM audit WHERE seq = 2)"),
    (4, "why = 'arguments'"),
    (4, "event = 'allowed', why = NULL"),
    // The last one, behind which nothing is chained.
    (5, "tool = 'fs_read'"),
];

/// What somebody takes out, and what is missed then.
const TAKEN_OUT: [(&str, &[&str]); 5] = [
    ("seq = 1", &["row 1 is missing"]),
    ("seq = 3", &["row 3 is missing"]),
    ("seq IN (2, 3)", &["rows 2 to 3 are missing"]),
    ("seq = 5", &["row 5 is missing"]),
    ("seq > 0", &["rows 1 to 5 are missing"]),
];

async fn filled(log: &dyn AuditLog) {
    let event = |n| match n {
        3 => AuditEvent::Ended {
            allowed: 1,
            outcome: RowStatus::Ok,
            cost: Some(Money::ZERO),
        },
        4 => AuditEvent::Refused("off".into()),
        _ => AuditEvent::Allowed,
    };
    for n in 1..=5 {
        let row = AuditRow {
            user: Some("ann\u{1}b".into()),
            arguments: [n; 32],
            event: event(n),
            ..audit_row(&format!("tool_{n}"))
        };
        log.append(&row).await.expect("it is written");
    }
}

/// Does one thing after the other to rows of `log`, through `run` as any other program could, and sees what is found.
async fn tampered(log: &dyn AuditLog, run: impl AsyncFn(&str)) {
    filled(log).await;
    run("CREATE TABLE kept AS SELECT * FROM audit").await;
    let put_back = async || {
        run("DELETE FROM audit").await;
        run("INSERT INTO audit SELECT * FROM kept").await;
        assert_eq!(audit_findings(log, &KEY).await, [""; 0]);
    };
    for (seq, change) in ALTERED {
        run(&format!("UPDATE audit SET {change} WHERE seq = {seq}")).await;
        let found = audit_findings(log, &KEY).await;
        let named = format!("row {seq} was altered, or the one before it was");
        assert_eq!(found.first(), Some(&named), "{change}");
        put_back().await;
    }
    for (rows, found) in TAKEN_OUT {
        run(&format!("DELETE FROM audit WHERE {rows}")).await;
        assert_eq!(audit_findings(log, &KEY).await, found, "{rows}");
        put_back().await;
    }
}

async fn run(dir: &Dir, sql: &str) {
    let mut raw = dir.raw().await;
    let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut raw).await;
    raw.close().await.expect("it closes");
    done.expect("it is done");
}

#[tokio::test]
async fn memory_keeps_the_contract_and_the_newest_rows() {
    audit_log(&MemoryAudit::new(&KEY, 100), &KEY).await;
    let short = MemoryAudit::new(&KEY, 3);
    filled(&short).await;
    let kept = short.read(0, UNIX_EPOCH, 10).await.expect("rows");
    assert_eq!(kept.len(), 3);
    assert_eq!(
        short.last().await.expect("the end"),
        Some((5, kept[2].chain))
    );
}

#[tokio::test]
async fn a_file_keeps_the_contract_and_outlives_the_process() {
    let dir = Dir::new("audit_contract");
    let store = dir.open().await;
    audit_log(&store.audit(&KEY), &KEY).await;
    store.close().await.expect("it closes");
    let log = dir.open().await.audit(&KEY);
    assert_eq!(log.append(&audit_row("again")).await.expect("written"), 27);
    assert_eq!(audit_findings(&log, &KEY).await, [""; 0]);
}

#[tokio::test]
async fn a_database_keeps_the_contract() {
    let database = Database::new();
    audit_log(&database.store().audit(&KEY), &KEY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_one_chain() {
    let database = Database::new();
    let writer = async || {
        let log = database.store().audit(&KEY);
        for n in 0..50 {
            let written = log.append(&audit_row(&format!("tool_{n}"))).await;
            written.expect("it waits for the other");
        }
    };
    tokio::join!(writer(), writer());
    let log = database.store().audit(&KEY);
    assert_eq!(log.last().await.expect("the end").expect("rows").0, 100);
    assert_eq!(audit_findings(&log, &KEY).await, [""; 0]);
}

#[tokio::test]
async fn many_calls_at_once_wait_for_their_turn_and_not_for_connections() {
    let database = Database::new();
    let store = PostgresStore::new(&database.url, 1).expect("a URL");
    let (log, row) = (store.audit(&KEY), audit_row("fs_write"));
    for written in join_all((0..300).map(|_| log.append(&row))).await {
        written.expect("it waits longer than anybody for a connection");
    }
}

#[tokio::test]
async fn t34_what_was_altered_or_taken_out_of_a_file_is_named() {
    let dir = Dir::new("audit_tampered");
    let store = dir.open().await;
    tampered(&store.audit(&KEY), async |sql| run(&dir, sql).await).await;
}

#[tokio::test]
async fn t34_what_was_altered_or_taken_out_of_a_database_is_named() {
    let database = Database::new();
    let log = database.store().audit(&KEY);
    tampered(&log, async |sql| database.run(sql).await).await;
}

#[tokio::test]
async fn t34_a_row_of_another_past_is_named() {
    let past = async |tools: [&str; 3]| {
        let log = MemoryAudit::new(&KEY, 10);
        for tool in tools {
            log.append(&audit_row(tool)).await.expect("it is written");
        }
        log.read(0, UNIX_EPOCH, 10).await.expect("rows")
    };
    let ours = past(["a", "b", "c"]).await;
    let other = past(["a", "x", "c"]).await;
    let mut walk = AuditWalk::new(&KEY);
    let spliced = [&ours[0], &ours[1], &other[2]];
    let found: Vec<_> = spliced.into_iter().map(|row| walk.check(row)).collect();
    assert_eq!(found, [None, None, Some(Finding::Altered(3))]);
}

#[tokio::test]
async fn what_is_no_row_of_ours_is_named_and_nothing_goes_on_without_an_end() {
    let dir = Dir::new("audit_broken");
    let store = dir.open().await;
    let log = store.audit(&KEY);
    filled(&log).await;
    run(&dir, "UPDATE audit SET why = 'said so' WHERE seq = 2").await;
    let error = log.read(0, UNIX_EPOCH, 10).await.expect_err("no such row");
    assert!(
        error.message().contains("audit row 2 cannot be read"),
        "{error}"
    );

    run(&dir, "DELETE FROM audit_end").await;
    let error = log.last().await.expect_err("there is no end");
    assert!(error.message().contains("was taken out"), "{error}");
    let error = log.append(&audit_row("more")).await;
    let error = error.expect_err("it would begin anew");
    assert!(error.message().contains("cannot be written"), "{error}");
    assert_eq!(dir.number("SELECT count(*) FROM audit").await, 5);
}
