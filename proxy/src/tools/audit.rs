use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use rungs::{
    Error, ErrorKind,
    store::{AuditEvent, AuditRow, RowStatus},
};
use serde_json::{Map, Value};

use super::{Bill, Caller, Effect};
use crate::{gateway::Gateway, ledger::AuditWriter};

/// The target of the lines, which are written whatever the log's level is.
pub(crate) const TARGET: &str = "rungs::audit";

/// Why a call is not made.
pub(crate) struct Refusal {
    /// In a word, for the audit.
    why: &'static str,
    error: Error,
}

impl Refusal {
    /// What refuses a call with an error, for a reason in a word.
    pub(crate) fn because(why: &'static str) -> impl Fn(Error) -> Self {
        move |error| Self { why, error }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// What is written of a call of a tool that does more than read: rows in the audit, which last, and a line in the log, however it ends,
/// and also where it is refused. Of a call that only reads there is nothing.
///
/// Of the arguments there is a hash alone: enough to show which call it was, nothing to read.
pub(crate) struct Audit(Option<Record>);

struct Record {
    to: AuditWriter,
    row: AuditRow,
    /// The row that let the call in, and what is still to be said of its end.
    owed: Option<(u64, RowStatus)>,
    bill: Bill,
    began: Instant,
    /// How it ended, and the last row of it.
    outcome: &'static str,
    last: Option<u64>,
}

impl Audit {
    /// Of a call that begins now.
    pub(crate) fn of(
        gateway: &Gateway,
        tool: &str,
        effect: Effect,
        caller: &Caller,
        arguments: &Map<String, Value>,
    ) -> Self {
        Self(effect.is_more_than_reading().then(|| {
            let principal = &caller.principal;
            let row = AuditRow {
                at: SystemTime::now(),
                session: caller.session.clone(),
                tenant: Arc::clone(&principal.tenant),
                key: principal.key.clone(),
                user: principal.user.clone(),
                tool: tool.into(),
                effect: effect.as_str().into(),
                arguments: digest(arguments),
                event: AuditEvent::Allowed,
            };
            Record {
                to: gateway.state().audit.clone(),
                row,
                owed: None,
                bill: caller.bill.clone(),
                began: Instant::now(),
                outcome: RowStatus::Cancelled.as_str(),
                last: None,
            }
        }))
    }

    /// Makes the call, if it is admitted. It is written down first: what cannot be is not done.
    ///
    /// # Errors
    /// The refusal, that the call cannot be written down, or the call's own.
    pub(crate) async fn over<A, T, F>(
        self,
        admitted: Result<A, Refusal>,
        call: impl FnOnce(A) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let Self(Some(mut record)) = self else {
            return call(admitted?).await;
        };
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return Err(record.refused(refusal).await),
        };
        let allowed = record.allowed().await?;
        record.owe(allowed, RowStatus::Cancelled);
        let result = call(admitted).await;
        record.owe(allowed, outcome(result.as_ref().err()));
        record.pay().await;
        result
    }
}

impl Record {
    async fn refused(mut self, Refusal { why, error }: Refusal) -> Error {
        self.outcome = error.kind().as_str();
        // It is refused whether that can be written down or not.
        let _ = self.write(AuditEvent::Refused(why.into())).await;
        error
    }

    /// The number of the row that says so.
    async fn allowed(&mut self) -> Result<u64, Error> {
        let written = self.write(AuditEvent::Allowed).await;
        written.map_err(|error| {
            self.outcome = error.kind().as_str();
            unwritten(error)
        })
    }

    /// What is to be said of the call if it ends now.
    fn owe(&mut self, allowed: u64, outcome: RowStatus) {
        self.outcome = outcome.as_str();
        self.owed = Some((allowed, outcome));
    }

    /// Says it.
    async fn pay(&mut self) {
        if let Some(ended) = self.end() {
            // It is done: an error in place of its result would have it done again.
            let _ = self.write(ended).await;
            self.owed = None;
        }
    }

    /// What is still to be said, with what the call has cost.
    fn end(&self) -> Option<AuditEvent> {
        let (allowed, outcome) = self.owed?;
        Some(AuditEvent::Ended {
            allowed,
            outcome,
            cost: self.bill.sum(),
        })
    }

    async fn write(&mut self, event: AuditEvent) -> Result<u64, Error> {
        (self.row.at, self.row.event) = (SystemTime::now(), event);
        let number = self.to.write(&self.row).await?;
        self.last = Some(number);
        Ok(number)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // The caller has left in the middle.
        if let Some(event) = self.end() {
            let mut row = self.row.clone();
            (row.at, row.event) = (SystemTime::now(), event);
            self.to.write_behind(row);
        }
        let row = &self.row;
        tracing::info!(
            target: TARGET,
            row = self.last,
            tool = &*row.tool,
            effect = &*row.effect,
            tenant = &*row.tenant,
            key = row.key.as_deref(),
            arguments = blake3::Hash::from(row.arguments).to_hex().as_str(),
            outcome = self.outcome,
            ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "tool called"
        );
    }
}

/// How a call ended, in the words of the ledger.
fn outcome(failed: Option<&Error>) -> RowStatus {
    match failed.map(Error::kind) {
        None => RowStatus::Ok,
        Some(ErrorKind::Cut) => RowStatus::Cancelled,
        Some(kind) => RowStatus::Failed(kind),
    }
}

fn unwritten(cause: Error) -> Error {
    let why =
        "nothing was done, because it cannot be written to the gateway's audit; its log says why";
    let error = Error::new(cause.kind(), why);
    match cause.get_retry_after() {
        Some(after) => error.retry_after(after),
        None => error,
    }
    .with_source(cause)
}

/// The same for the same arguments, in whatever order they come: a map is sorted.
fn digest(arguments: &Map<String, Value>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    // Hashing does not fail, and a map of JSON is JSON.
    let written = serde_json::to_writer(&mut hasher, arguments);
    written.expect("JSON is written as JSON");
    *hasher.finalize().as_bytes()
}
