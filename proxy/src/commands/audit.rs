//! `rungs audit`: reads who called which tool that does more than read.

use std::{ops::ControlFlow, process::ExitCode, time::UNIX_EPOCH};

use rungs::store::{AuditEntry, AuditEvent, AuditRow};
use serde_json::{Value, json};

use super::{
    rows::{Lines, Rows, ago, moment},
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
        let rows = Rows::open(&config).await?;
        let since = since.map_or(UNIX_EPOCH, ago);
        let mut lines = Lines::begin();
        let walked = audit::walk(&*rows.audit, since, |entry| lines.write(&value(entry)));
        if let ControlFlow::Break(ended) = walked.await? {
            ended?;
        }
        lines.end()
    })
}

fn value(entry: &AuditEntry) -> Value {
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
