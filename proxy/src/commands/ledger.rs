//! `rungs ledger`: reads what was written down, checks that nobody changed it, and forgets what is old.

use std::{io::Write, ops::ControlFlow, process::ExitCode, time::UNIX_EPOCH};

use anyhow::bail;
use rungs::store::{Entry, LedgerLog, LedgerRow, Pruned};
use serde_json::{Value, json};

use super::{
    output::Output,
    rows::{Lines, Rows, ago, moment},
    serve::runtime,
    world,
};
use crate::{
    auth::Pepper,
    cli::{LedgerArgs, LedgerVerb},
    keys::Age,
    ledger,
};

/// Works on the configured store, also while gateways run on it; rows come into it a moment after their answers.
pub(crate) fn run(args: &LedgerArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(&args.config)?;
    runtime()?.block_on(async {
        let rows = Rows::open(&config).await?;
        match &args.verb {
            LedgerVerb::Export { since, format: _ } => export(&*rows.ledger, *since).await,
            LedgerVerb::Verify => verify(&rows).await,
            LedgerVerb::Prune { before } => prune(&*rows.ledger, *before, &rows.pepper).await,
        }
    })
}

async fn export(log: &dyn LedgerLog, since: Option<Age>) -> anyhow::Result<ExitCode> {
    let since = since.map_or(UNIX_EPOCH, ago);
    let mut lines = Lines::begin();
    for journal in log.journals().await? {
        let walked = ledger::walk(log, &journal.name, 0, since, |entry| {
            lines.write(&value(&journal.name, entry))
        });
        if let ControlFlow::Break(ended) = walked.await? {
            ended?;
            break;
        }
    }
    lines.end()
}

/// The ledger, and the audit of tool calls beside it.
async fn verify(rows: &Rows) -> anyhow::Result<ExitCode> {
    let seal = rows.pepper.seal();
    let journal = rows.journal.as_deref();
    let (mut findings, calls) = ledger::verify(&*rows.ledger, journal, seal).await?;
    let (found, audited) = ledger::audit::verify(&*rows.audit, seal).await?;
    findings.extend(found);
    let mut out = Output::default();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    if !findings.is_empty() {
        bail!(
            "{} findings in {calls} rows and {audited} audit rows",
            findings.len()
        );
    }
    writeln!(out, "{calls} rows, none altered, none missing")?;
    writeln!(out, "{audited} audit rows, none altered, none missing")?;
    Ok(ExitCode::SUCCESS)
}

async fn prune(log: &dyn LedgerLog, before: Age, pepper: &Pepper) -> anyhow::Result<ExitCode> {
    let outcome = ledger::prune(log, ago(before), pepper.seal()).await?;
    let mut out = Output::default();
    for finding in &outcome.findings {
        writeln!(out, "{finding}")?;
    }
    match outcome.pruned {
        Pruned::Rows(rows) => writeln!(out, "{rows} rows are gone")?,
        Pruned::Months(months) => writeln!(out, "the rows of {months} months are gone")?,
    }
    if !outcome.findings.is_empty() {
        bail!("{} findings in what is gone", outcome.findings.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn value(journal: &str, entry: &Entry) -> Value {
    let row: &LedgerRow = &entry.row;
    let mut value = json!({
        "seq": entry.seq,
        "request_id": &*row.request,
        "attempt": row.attempt,
        "started": moment(row.started),
        "tenant": &*row.tenant,
        "accounts": row.accounts,
        "key": row.key,
        "user": row.user,
        "conversation": row.conversation,
        "operation": row.op.as_str(),
        "deployment": row.deployment,
        "tier": row.tier,
        "status": row.status.as_str(),
        "usage": row.usage,
        "cost_usd": row.cost,
        "cost_nanos": row.cost.nanos(),
        "cost_source": row.source.as_str(),
        "price_version": row.price_version,
        "clamped": row.clamped,
        "first_frame_ms": row.first_frame_ms,
        "total_ms": row.total_ms,
    });
    if !journal.is_empty() {
        value["journal"] = journal.into();
    }
    value
}
