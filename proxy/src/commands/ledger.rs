//! `rungs ledger`: reads what was written down, and checks that nobody changed it.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use rungs::store::{Entry, LedgerRow, journal::Audit, sqlite::SqliteLog};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{serve::runtime, world};
use crate::{
    auth::Pepper,
    cli::{LedgerArgs, LedgerVerb},
    config::StoreUrl,
    keys::Age,
};

/// Rows that are read at once.
const PAGE: u32 = 10_000;

/// Works on the configured store, also while a gateway runs on it; rows come into it a moment after their answers.
pub(crate) fn run(args: &LedgerArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(&args.config)?;
    let path = match &config.store.url {
        StoreUrl::Sqlite(path) => path,
        StoreUrl::Memory => bail!(
            "a ledger in memory ends with its process; set `store.url` to a database such as sqlite:rungs.db"
        ),
        StoreUrl::Postgres(_) => bail!(
            "this reads SQLite files; in PostgreSQL the rows of all processes stand in the table llm_calls"
        ),
    };
    runtime()?.block_on(async {
        let log = SqliteLog::open(&format!("sqlite:{}", path.display()))?;
        match &args.verb {
            LedgerVerb::Export { since, format: _ } => export(&log, *since).await,
            LedgerVerb::Verify => verify(&log, &Pepper::beside(path)?).await,
        }
    })
}

async fn export(log: &SqliteLog, since: Option<Age>) -> anyhow::Result<ExitCode> {
    let since = since.map_or(UNIX_EPOCH, |age| {
        SystemTime::now().checked_sub(age.0).unwrap_or(UNIX_EPOCH)
    });
    let mut out = io::BufWriter::new(io::stdout().lock());
    each(log, since, |entry| {
        serde_json::to_writer(&mut out, &row_value(entry))?;
        out.write_all(b"\n")?;
        Ok(())
    })
    .await?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn verify(log: &SqliteLog, pepper: &Pepper) -> anyhow::Result<ExitCode> {
    let mut audit = Audit::new(pepper.seal());
    let mut findings = 0_u64;
    each(log, UNIX_EPOCH, |entry| {
        if let Err(finding) = audit.check(entry) {
            findings += 1;
            println!("{finding}");
        }
        Ok(())
    })
    .await?;
    let rows = audit.rows();
    if findings > 0 {
        bail!("{findings} findings in {rows} rows");
    }
    println!("{rows} rows, none altered, none missing");
    Ok(ExitCode::SUCCESS)
}

/// Gives each row since `since` to `see`, in their order.
async fn each(
    log: &SqliteLog,
    since: SystemTime,
    mut see: impl FnMut(&Entry) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let page = log.read(after, since, PAGE).await?;
        let Some(last) = page.last().map(|entry| entry.seq) else {
            return Ok(());
        };
        page.iter().try_for_each(&mut see)?;
        after = last;
    }
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
