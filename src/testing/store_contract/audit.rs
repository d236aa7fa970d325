use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use crate::{
    catalog::Money,
    error::ErrorKind,
    store::{AuditEvent, AuditLog, AuditRow, AuditWalk, RowStatus},
};

/// A time that every store keeps exactly.
fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second)
}

/// A call of `tool` by key `k_1` of tenant `acme` that was let in.
#[must_use]
pub fn audit_row(tool: &str) -> AuditRow {
    AuditRow {
        at: at(0),
        session: Some("session-1".into()),
        tenant: "acme".into(),
        key: Some("k_1".into()),
        user: Some("ann".into()),
        tool: tool.into(),
        effect: "write".into(),
        arguments: [9; 32],
        event: AuditEvent::Allowed,
    }
}

/// What is wrong with the rows of an audit that is chained with `key`.
///
/// # Panics
/// If they cannot be read.
pub async fn audit_findings(log: &dyn AuditLog, key: &[u8; 32]) -> Vec<String> {
    let last = log.last().await.expect("the end");
    let rows = log.read(0, UNIX_EPOCH, u32::MAX).await.expect("rows");
    let mut walk = AuditWalk::new(key);
    let mut found: Vec<_> = rows.iter().filter_map(|row| walk.check(row)).collect();
    found.extend(walk.finish(last));
    found.iter().map(ToString::to_string).collect()
}

/// Rows come back as they were written, in their order, each chained with `key` to all before it, also when many write at once.
///
/// # Panics
/// When the store breaks its contract.
pub async fn audit_log(log: &dyn AuditLog, key: &[u8; 32]) {
    let append = async |row: &AuditRow| log.append(row).await.expect("it is written");
    let read = async |after, since, most| log.read(after, since, most).await.expect("rows");
    assert_eq!(log.last().await.expect("the end"), None);
    assert!(read(0, UNIX_EPOCH, 10).await.is_empty());

    let ended = |outcome, cost| AuditEvent::Ended {
        allowed: 1,
        outcome,
        cost,
    };
    let rows = [
        audit_row("fs_write"),
        AuditRow {
            at: at(1),
            event: ended(RowStatus::Ok, Some(Money::from_nanos(42))),
            ..audit_row("fs_write")
        },
        AuditRow {
            at: at(2),
            session: None,
            key: None,
            user: None,
            effect: "exec".into(),
            event: AuditEvent::Refused("off".into()),
            ..audit_row("run_tests")
        },
        AuditRow {
            at: at(3),
            event: ended(RowStatus::Failed(ErrorKind::Timeout), None),
            ..audit_row("caf\u{e9} '\"; --")
        },
        AuditRow {
            at: at(3),
            event: ended(RowStatus::Cancelled, Some(Money::ZERO)),
            ..audit_row("")
        },
    ];
    for (seq, row) in (1..).zip(&rows) {
        assert_eq!(append(row).await, seq, "numbers have no gap");
    }
    let entries = read(0, UNIX_EPOCH, 10).await;
    let told: Vec<_> = entries.iter().map(|entry| entry.row.clone()).collect();
    assert_eq!(told, rows);
    let numbers = |entries: &[crate::store::AuditEntry]| -> Vec<u64> {
        entries.iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(numbers(&entries), [1, 2, 3, 4, 5]);
    let last = entries.last().map(|entry| (entry.seq, entry.chain));
    assert_eq!(log.last().await.expect("the end"), last);
    assert_eq!(numbers(&read(1, UNIX_EPOCH, 2).await), [2, 3]);
    assert_eq!(numbers(&read(0, at(3), 10).await), [4, 5]);
    assert!(read(5, UNIX_EPOCH, 10).await.is_empty());
    assert_eq!(audit_findings(log, key).await, [""; 0]);
    let other = audit_findings(log, &[0; 32]).await;
    assert_eq!(other.len(), 5, "nobody continues it without the key");

    let many: Vec<_> = (0..20).map(|n| audit_row(&format!("tool_{n}"))).collect();
    let mut written = join_all(many.iter().map(append)).await;
    written.sort_unstable();
    assert_eq!(written, (6..=25).collect::<Vec<u64>>());
    assert_eq!(audit_findings(log, key).await, [""; 0]);

    let strange = append(&audit_row("a\0b")).await;
    let kept = read(strange - 1, UNIX_EPOCH, 1).await;
    assert!(kept[0].row.tool.starts_with('a'), "{kept:?}");
    assert_eq!(audit_findings(log, key).await, [""; 0]);
}
