//! The rows of the audit.

use std::{
    ops::ControlFlow,
    time::{SystemTime, UNIX_EPOCH},
};

use rungs::{
    Error,
    store::{AuditEntry, AuditLog, AuditWalk},
};

use super::{PAGE, pages};

/// Gives `see` each row that is of `since` or later, in their order, as long as it wants more.
pub(crate) async fn walk<B>(
    log: &dyn AuditLog,
    since: SystemTime,
    see: impl FnMut(&AuditEntry) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error> {
    let read = |after| log.read(after, since, PAGE);
    pages(0, read, |entry| entry.seq, see).await
}

/// Walks all rows: what is wrong with them, and how many there are.
pub(crate) async fn verify(
    log: &dyn AuditLog,
    seal: &[u8; 32],
) -> Result<(Vec<String>, u64), Error> {
    // Before the rows: others may be written meanwhile.
    let last = log.last().await?;
    let (mut audit, mut found) = (AuditWalk::new(seal), Vec::new());
    let see = |entry: &AuditEntry| {
        found.extend(audit.check(entry));
        ControlFlow::<()>::Continue(())
    };
    let _ = walk(log, UNIX_EPOCH, see).await?;
    found.extend(audit.finish(last));
    let findings = found.iter().map(|finding| format!("audit {finding}"));
    Ok((findings.collect(), audit.rows()))
}
