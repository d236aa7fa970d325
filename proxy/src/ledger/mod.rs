//! The rows behind the gateway: those of the ledger are read, checked, and forgotten when they are old; those of the audit are written,
//! read and checked.

pub(crate) mod audit;
mod writer;

use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rungs::{
    Error,
    store::{
        Entry, Finding, JournalHead, LedgerLog, Pruned, StoreFuture,
        journal::{Audit, Kept},
    },
};
use tokio::time::sleep;

pub(crate) use writer::AuditWriter;

/// Rows that are read at once.
const PAGE: u32 = 2_000;

/// A gateway that runs ships rows within moments: those that do not move for so long are not on their way.
const ON_THEIR_WAY: Duration = Duration::from_secs(2);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// What has become of old rows.
pub(crate) struct Outcome {
    /// What was wrong with them.
    pub(crate) findings: Vec<String>,
    pub(crate) pruned: Pruned,
}

impl Outcome {
    /// Tells it where nobody waits for it.
    pub(crate) fn log(&self) {
        for finding in &self.findings {
            tracing::error!(
                finding,
                "a ledger row that went for its age was not as it was written"
            );
        }
        match self.pruned {
            Pruned::Rows(0) | Pruned::Months(0) => {}
            Pruned::Rows(rows) => tracing::info!(rows, "old ledger rows are gone"),
            Pruned::Months(months) => tracing::info!(months, "old ledger rows are gone"),
        }
    }
}

/// Gives `see` each row of a journal behind number `after` that began at `since` or later, in their order, as long as it wants more.
pub(crate) async fn walk<B>(
    log: &dyn LedgerLog,
    journal: &str,
    after: u64,
    since: SystemTime,
    see: impl FnMut(&Entry) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error> {
    let read = |after| log.read(journal, after, since, PAGE);
    pages(after, read, |entry| entry.seq, see).await
}

/// Gives `see` each row that `read` finds behind number `after`, a page at a time, as long as it wants more.
async fn pages<'a, T, B>(
    mut after: u64,
    read: impl Fn(u64) -> StoreFuture<'a, Vec<T>>,
    number: impl Fn(&T) -> u64,
    mut see: impl FnMut(&T) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error> {
    loop {
        let page = read(after).await?;
        let Some(last) = page.last() else {
            return Ok(ControlFlow::Continue(()));
        };
        after = number(last);
        let seen = page.iter().try_for_each(&mut see);
        if seen.is_break() {
            return Ok(seen);
        }
    }
}

/// Walks all rows of all journals, and looks into the folder of the one in front of a file: what is wrong with them, and how many there
/// are.
pub(crate) async fn verify(
    log: &dyn LedgerLog,
    folder: Option<&Path>,
    seal: &[u8; 32],
) -> Result<(Vec<String>, u64), Error> {
    let (mut findings, mut rows) = (Vec::new(), 0);
    for journal in log.journals().await? {
        let (found, seen) = audit(log, journal, seal, u64::MAX).await?;
        findings.extend(found);
        rows += seen;
    }
    match folder.map(|folder| Kept::read(folder, seal)).transpose() {
        Ok(kept) => {
            if let Some(kept) = kept.flatten() {
                let found = not_arrived(log, kept).await?;
                findings.extend(found.iter().map(Finding::to_string));
            }
        }
        // Whatever else was found is told.
        Err(error) => findings.push(format!("the journal's folder was not looked into: {error}")),
    }
    Ok((findings, rows))
}

/// The rows that the journal in front of a file has and the file does not get, though it be given time.
async fn not_arrived(log: &dyn LedgerLog, kept: Kept) -> Result<Vec<Finding>, Error> {
    let (mut end, mut moved) = (0, Instant::now());
    loop {
        let journals = log.journals().await?;
        let now = journals.iter().filter_map(|journal| journal.last);
        let now = now.map(|(seq, _)| seq).max().unwrap_or(0);
        let found = kept.beyond(now);
        if now > end {
            (end, moved) = (now, Instant::now());
        }
        if found.is_empty() || moved.elapsed() >= ON_THEIR_WAY {
            return Ok(found);
        }
        sleep(LOOK).await;
    }
}

/// Walks the rows of a journal up to number `end`: what is wrong with them, and how many there are.
async fn audit(
    log: &dyn LedgerLog,
    mut journal: JournalHead,
    seal: &[u8; 32],
    end: u64,
) -> Result<(Vec<String>, u64), Error> {
    loop {
        let (found, rows) = audit_once(log, &journal, seal, end).await?;
        let mut now = log.journals().await?.into_iter();
        match now.find(|now| now.name == journal.name) {
            // Rows went while they were walked.
            Some(now) if !found.is_empty() && now.gone != journal.gone => journal = now,
            _ => {
                let found = found.iter().map(|finding| named(&journal, finding));
                return Ok((found.collect(), rows));
            }
        }
    }
}

async fn audit_once(
    log: &dyn LedgerLog,
    journal: &JournalHead,
    seal: &[u8; 32],
    end: u64,
) -> Result<(Vec<Finding>, u64), Error> {
    let (mut audit, mut found) = Audit::of(journal, seal);
    let see = |entry: &Entry| {
        if entry.seq > end {
            return ControlFlow::Break(());
        }
        found.extend(audit.check(entry));
        ControlFlow::Continue(())
    };
    if end > 0 {
        // From the first row that is there, whichever it should be: `export` prints it as well.
        let _ = walk(log, &journal.name, 0, UNIX_EPOCH, see).await?;
    }
    if journal.last.is_none_or(|(last, _)| last <= end) {
        found.extend(audit.finish(journal));
    }
    Ok((found, audit.rows()))
}

/// Checks the rows up to the last one that is to go because it began before `before`, and lets those go that are. Afterwards nobody
/// could say which of them were altered.
pub(crate) async fn prune(
    log: &dyn LedgerLog,
    before: SystemTime,
    seal: &[u8; 32],
) -> Result<Outcome, Error> {
    let mut findings = Vec::new();
    for journal in log.journals().await? {
        // Rows that stay may stand among those that go.
        let last = log.last_to_go(&journal.name, before).await?;
        let (found, _) = audit(log, journal, seal, last.unwrap_or(0)).await?;
        findings.extend(found);
    }
    let pruned = log.prune(before, seal).await?;
    Ok(Outcome { findings, pruned })
}

fn named(journal: &JournalHead, finding: &Finding) -> String {
    match &*journal.name {
        "" => finding.to_string(),
        name => format!("journal {name}: {finding}"),
    }
}
