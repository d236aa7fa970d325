//! `rungs ledger`: reads what was written down, checks that nobody changed it, and forgets what is old.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use rungs::store::{
    Entry, LedgerLog, LedgerRow, Pruned, postgres::PostgresStore, sqlite::SqliteLog,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{serve::runtime, world};
use crate::{
    auth::Pepper,
    cli::{LedgerArgs, LedgerVerb},
    config::{Config, StoreUrl},
    keys::Age,
    ledger, stores,
};

/// Works on the configured store, also while gateways run on it; rows come into it a moment after their answers.
pub(crate) fn run(args: &LedgerArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(&args.config)?;
    runtime()?.block_on(async {
        let (log, pepper) = open(&config)?;
        match &args.verb {
            LedgerVerb::Export { since, format: _ } => export(&*log, *since).await,
            LedgerVerb::Verify => verify(&*log, &pepper).await,
            LedgerVerb::Prune { before } => prune(&*log, *before, &pepper).await,
        }
    })
}

fn open(config: &Config) -> anyhow::Result<(Box<dyn LedgerLog>, Pepper)> {
    Ok(match &config.store.url {
        StoreUrl::Memory => bail!(
            "a ledger in memory ends with its process; set `store.url` to a database such as sqlite:rungs.db"
        ),
        StoreUrl::Sqlite(path) => {
            let log = SqliteLog::open(&format!("sqlite:{}", path.display()))?;
            (Box::new(log), Pepper::beside(path)?)
        }
        StoreUrl::Postgres(url) => {
            let store = PostgresStore::new(url.expose(), 1)?;
            (Box::new(store.log()), stores::pepper(config)?)
        }
    })
}

async fn export(log: &dyn LedgerLog, since: Option<Age>) -> anyhow::Result<ExitCode> {
    let since = since.map_or(UNIX_EPOCH, ago);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for journal in log.journals().await? {
        let journal = &*journal.name;
        let written = ledger::walk(log, journal, 0, since, |entry| {
            match write(&mut out, journal, entry) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        });
        if let ControlFlow::Break(error) = written.await? {
            return Err(error.into());
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write(out: &mut impl Write, journal: &str, entry: &Entry) -> io::Result<()> {
    let mut row = row_value(entry);
    if !journal.is_empty() {
        row["journal"] = journal.into();
    }
    serde_json::to_writer(&mut *out, &row)?;
    out.write_all(b"\n")
}

async fn verify(log: &dyn LedgerLog, pepper: &Pepper) -> anyhow::Result<ExitCode> {
    let (findings, rows) = ledger::verify(log, pepper.seal()).await?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings in {rows} rows", findings.len());
    }
    println!("{rows} rows, none altered, none missing");
    Ok(ExitCode::SUCCESS)
}

async fn prune(log: &dyn LedgerLog, before: Age, pepper: &Pepper) -> anyhow::Result<ExitCode> {
    let outcome = ledger::prune(log, ago(before), pepper.seal()).await?;
    for finding in &outcome.findings {
        println!("{finding}");
    }
    match outcome.pruned {
        Pruned::Rows(rows) => println!("{rows} rows are gone"),
        Pruned::Months(months) => println!("the rows of {months} months are gone"),
    }
    if !outcome.findings.is_empty() {
        bail!("{} findings in what is gone", outcome.findings.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn ago(age: Age) -> SystemTime {
    SystemTime::now().checked_sub(age.0).unwrap_or(UNIX_EPOCH)
}

fn row_value(entry: &Entry) -> Value {
    let row: &LedgerRow = &entry.row;
    json!({
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
    })
}

fn moment(time: SystemTime) -> Option<String> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let moment = OffsetDateTime::UNIX_EPOCH + since;
    moment.format(&Rfc3339).ok()
}
