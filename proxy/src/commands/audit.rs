//! `rungs audit`: reads who called which tool that does more than read.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    process::ExitCode,
    time::UNIX_EPOCH,
};

use rungs::store::{AuditEntry, AuditEvent, AuditRow};
use serde_json::{Value, json};

use super::{
    rows::{Rows, ago, moment},
    serve::runtime,
    world,
};
use crate::{
    cli::{AuditArgs, AuditVerb},
    ledger::audit,
};

/// Works on the configured store, also while gateways run on it.
pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(&args.config)?;
    let AuditVerb::Export { since, format: _ } = &args.verb;
    runtime()?.block_on(async {
        let rows = Rows::open(&config)?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = audit::walk(
            &*rows.audit,
            since.map_or(UNIX_EPOCH, ago),
            |entry| match write(&mut out, entry) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            },
        );
        if let ControlFlow::Break(error) = written.await? {
            return Err(error.into());
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}

fn write(out: &mut impl Write, entry: &AuditEntry) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &row_value(entry))?;
    out.write_all(b"\n")
}

fn row_value(entry: &AuditEntry) -> Value {
    let row: &AuditRow = &entry.row;
    let mut value = json!({
        "seq": entry.seq,
        "at": moment(row.at),
        "session": row.session,
        "tenant": &*row.tenant,
        "key": row.key,
        "user": row.user,
        "tool": &*row.tool,
        "effect": &*row.effect,
        "arguments": blake3::Hash::from(row.arguments).to_hex().as_str(),
        "event": row.event.as_str(),
    });
    match &row.event {
        AuditEvent::Allowed => {}
        AuditEvent::Refused(why) => value["why"] = json!(&**why),
        AuditEvent::Ended {
            allowed,
            outcome,
            cost,
        } => {
            value["allowed"] = json!(allowed);
            value["outcome"] = json!(outcome.as_str());
            value["cost_nanos"] = json!(cost.map(|cost| cost.nanos()));
        }
    }
    value
}
