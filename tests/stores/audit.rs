//! T34: what was called is written down once for all, and what somebody altered or took out is named.

use std::time::UNIX_EPOCH;

use rungs::{
    store::{AuditLog, memory::MemoryAudit},
    testing::store_contract::{audit_findings, audit_log, audit_row},
};
use sqlx::{AssertSqlSafe, Connection};

use crate::{dir::Dir, postgres::Database};

const KEY: [u8; 32] = [7; 32];

/// What somebody does to an audit of five rows, one after the other, and what is found then.
const TAMPERING: [(&str, &[&str]); 8] = [
    (
        "UPDATE audit SET tool = 'fs_read' WHERE seq = 2",
        &["audit row 2 was altered, or the one before it was"],
    ),
    (
        "UPDATE audit SET user_id = NULL WHERE seq = 2",
        &["audit row 2 was altered, or the one before it was"],
    ),
    (
        "UPDATE audit SET key_id = 'k_1ann', user_id = '' WHERE seq = 2",
        &["audit row 2 was altered, or the one before it was"],
    ),
    (
        "UPDATE audit SET at_ms = at_ms + 1, key_id = 'k_1', user_id = 'ann', tool = 'tool_2' WHERE seq = 2",
        &["audit row 2 was altered, or the one before it was"],
    ),
    ("UPDATE audit SET at_ms = at_ms - 1 WHERE seq = 2", &[]),
    (
        "DELETE FROM audit WHERE seq = 3",
        &["audit row 3 is missing"],
    ),
    (
        "DELETE FROM audit WHERE seq = 5",
        &["audit row 3 is missing", "audit row 5 is missing"],
    ),
    ("DELETE FROM audit", &["audit rows 1 to 5 are missing"]),
];

async fn filled(log: &dyn AuditLog) {
    for n in 1..=5 {
        let row = audit_row(&format!("tool_{n}"));
        log.append(&row).await.expect("it is written");
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
async fn t34_what_was_altered_or_taken_out_of_a_file_is_named() {
    let dir = Dir::new("audit_tampered");
    let store = dir.open().await;
    let log = store.audit(&KEY);
    filled(&log).await;
    for (sql, found) in TAMPERING {
        run(&dir, sql).await;
        assert_eq!(audit_findings(&log, &KEY).await, found, "{sql}");
    }
}

#[tokio::test]
async fn t34_what_was_altered_or_taken_out_of_a_database_is_named() {
    let database = Database::new();
    let log = database.store().audit(&KEY);
    filled(&log).await;
    for (sql, found) in TAMPERING {
        database.run(sql).await;
        assert_eq!(audit_findings(&log, &KEY).await, found, "{sql}");
    }
}

#[tokio::test]
async fn what_is_no_row_of_ours_is_named_and_nothing_goes_on_without_an_end() {
    let dir = Dir::new("audit_broken");
    let store = dir.open().await;
    let log = store.audit(&KEY);
    filled(&log).await;
    run(&dir, "UPDATE audit SET why = 'said so' WHERE seq = 4").await;
    let error = log.read(0, UNIX_EPOCH, 10).await.expect_err("no such row");
    assert!(
        error.message().contains("audit row 4 cannot be read"),
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
