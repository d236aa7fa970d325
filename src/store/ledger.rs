use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::StoreFuture;
use crate::{
    catalog::{Deployment, DeploymentId, Money, Tier},
    error::{Error, ErrorKind},
    model::{CostSource, ModelRequest, Operation, Usage},
};

/// One attempt, or one cache hit.
#[derive(Debug, Clone)]
pub struct LedgerRow {
    /// The request id of the call.
    pub request: Arc<str>,
    /// The attempt's number within the call; 0 for a cache hit.
    pub attempt: u32,
    /// Whose call it was.
    pub tenant: Arc<str>,
    /// Who pays, all of them; see [`Budgets`](super::Budgets) for their names.
    pub accounts: Arc<[Arc<str>]>,
    /// The API key's id.
    pub key: Option<Arc<str>>,
    /// The end user, as the client names them.
    pub user: Option<Arc<str>>,
    /// The conversation.
    pub conversation: Option<Arc<str>>,
    /// What was called.
    pub op: Operation,
    /// Who was asked, or whose cached answer was served.
    pub deployment: DeploymentId,
    /// On which tier.
    pub tier: Tier,
    /// How it ended.
    pub status: RowStatus,
    /// The tokens as the provider told them, or as far as they can be told from what went over the wire; `None` if it was refused, or not made.
    pub usage: Option<Usage>,
    /// What it cost.
    pub cost: Money,
    /// How the cost is known.
    pub source: CostSource,
    /// Which price list the deployment's price is from; `None` if it has none, or nothing was asked.
    pub price_version: Option<Arc<str>>,
    /// Whether the provider told tokens that cannot be, which were clamped to the bound of the request.
    pub clamped: bool,
    /// When the attempt began.
    pub started: SystemTime,
    /// Milliseconds until the first frame; `None` if there was none.
    pub first_frame_ms: Option<u32>,
    /// Milliseconds until the end.
    pub total_ms: u32,
}

impl LedgerRow {
    /// The row of a call that was answered after `waited` with what `deployment` had answered before: no attempt, and no cost.
    #[must_use]
    pub fn without_attempt(
        request: &ModelRequest,
        deployment: &Deployment,
        waited: Duration,
    ) -> Self {
        let waited_ms = u32::try_from(waited.as_millis()).unwrap_or(u32::MAX);
        let now = SystemTime::now();
        Self {
            attempt: 0,
            status: RowStatus::CacheHit,
            price_version: None,
            started: now.checked_sub(waited).unwrap_or(now),
            first_frame_ms: Some(waited_ms),
            total_ms: waited_ms,
            ..Self::interrupted(request, deployment)
        }
    }

    /// Whether its attempt began at `since` or later, and before `until` if it is said.
    #[must_use]
    pub fn is_of(&self, since: SystemTime, until: Option<SystemTime>) -> bool {
        self.started >= since && until.is_none_or(|until| self.started < until)
    }

    /// The row of an attempt at `deployment` that begins now, should it not come to an end; it is not charged yet. It is in the windows
    /// that its cost was held in.
    pub(crate) fn interrupted(request: &ModelRequest, deployment: &Deployment) -> Self {
        let ctx = &request.ctx;
        Self {
            request: ctx.id.clone(),
            attempt: request.attempt,
            tenant: ctx.tenant.clone(),
            accounts: ctx.accounts.clone(),
            key: ctx.key.clone(),
            user: ctx.user.clone(),
            conversation: ctx.conversation.clone(),
            op: request.op,
            deployment: deployment.id.clone(),
            tier: deployment.tier,
            status: RowStatus::Interrupted,
            usage: None,
            cost: Money::ZERO,
            source: CostSource::Nothing,
            price_version: deployment.price_version.clone(),
            clamped: false,
            started: request.held_at.unwrap_or_else(SystemTime::now),
            first_frame_ms: None,
            total_ms: 0,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowStatus {
    /// A complete answer.
    Ok,
    /// An error before or within the answer.
    Failed(ErrorKind),
    /// The stream stopped without its terminal signal.
    Truncated,
    /// The client left, or a layer above gave up.
    Cancelled,
    /// The gateway was killed before the end.
    Interrupted,
    /// No attempt: the cache had the answer, or an earlier call of the same name.
    CacheHit,
}

impl RowStatus {
    /// The name in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(kind) => kind.as_str(),
            Self::Truncated => "truncated",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::CacheHit => "cache_hit",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "ok" => Self::Ok,
            "truncated" => Self::Truncated,
            "cancelled" => Self::Cancelled,
            "interrupted" => Self::Interrupted,
            "cache_hit" => Self::CacheHit,
            other => Self::Failed(ErrorKind::of_name(other)?),
        })
    }
}

/// What a row of a ledger has lived through before a client hears of the end of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The end of this process, however it ends.
    Crash,
    /// The end of the machine's power.
    PowerLoss,
}

impl Durability {
    /// What is enough for a row, or a call, that cost so much: only what cost something has to outlive the machine.
    #[must_use]
    pub fn of(cost: Money) -> Self {
        match cost.is_zero() {
            true => Self::Crash,
            false => Self::PowerLoss,
        }
    }
}

/// An attempt that was written down before it began. Its row ends it.
#[derive(Debug, PartialEq, Eq, Default)]
#[must_use = "an attempt that was begun is ended by its row"]
pub struct Intent(pub(crate) Option<u32>);

/// How far a ledger is. Rows are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last row that it has taken.
    pub taken: u64,
    /// The last row that survives the end of this process.
    pub written: u64,
}

/// Keeps the rows.
pub trait Ledger: Send + Sync {
    /// Writes down that an attempt begins, with the row that it will have left should this process die before it ends. Called on
    /// the path of a call: it must not wait for a disk. Ledgers that end with their process need not do anything.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it cannot be written down: then it must not begin.
    fn begin(&self, row: &LedgerRow) -> Result<Intent, Error> {
        let _ = row;
        Ok(Intent::default())
    }

    /// Takes the row of an attempt that was begun. Called from a tap: it must not wait, and what it has taken it writes.
    fn end(&self, intent: Intent, row: LedgerRow);

    /// Takes a row that nothing announced.
    fn record(&self, row: LedgerRow) {
        self.end(Intent::default(), row);
    }

    /// Whether another attempt that may cost something may begin; `false` while what is taken cannot be written, so that memory stays
    /// bounded. What costs nothing is not held up: its rows are taken all the same, or dropped when there are far too many.
    fn has_room(&self) -> bool {
        true
    }

    /// How far it is. A ledger that ends with its process, or writes at once, is never behind.
    fn progress(&self) -> Progress {
        Progress::default()
    }

    /// Waits until every row taken so far survives `what`, and those that cost nothing the end of this process; `None` if there is
    /// nothing to wait for.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if rows cannot be written.
    fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        let _ = what;
        None
    }

    /// Returns once every row taken so far is where others find it, who read the store. It waits as long as that takes: give it a time
    /// limit of your own.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the writer is gone and rows were lost with it.
    fn flush(&self) -> StoreFuture<'_, ()>;

    /// What `account` paid for attempts that began at `since` or later, and before `until` if it is said, by all rows taken so far.
    /// Exact for times at a full quarter of an hour, which is where the days of every time zone begin.
    ///
    /// # Errors
    /// If the store that keeps the rows cannot be read.
    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money>;
}

/// A row at its place in the journal of one gateway.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counts from 1, without a gap.
    pub seq: u64,
    /// Sums up this row and all before it.
    pub chain: Chain,
    /// The row.
    pub row: LedgerRow,
}

/// A keyed hash over a row and the chain before it: a row that is altered, or missing, breaks it.
pub type Chain = [u8; 16];

/// Where the rows of a journal end up.
pub trait LedgerSink: Send + Sync {
    /// Writes entries, all or none of them, in their order. What was written before is written again without effect.
    ///
    /// # Errors
    /// If it cannot be done now; it is tried again.
    fn write(&self, entries: Arc<[Entry]>) -> StoreFuture<'_, ()>;

    /// The last entry that was written: its number, and the chain up to it.
    ///
    /// # Errors
    /// If it cannot be read.
    fn last(&self) -> StoreFuture<'_, Option<(u64, Chain)>>;

    /// As [`Ledger::spent`].
    ///
    /// # Errors
    /// If it cannot be read.
    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money>;
}

/// The quarters of an hour from the one in which `since` lies to that before the one in which `until` does.
pub(crate) fn quarters(since: SystemTime, until: Option<SystemTime>) -> Range<i64> {
    let first = quarter(since);
    first..until.map_or(i64::MAX, quarter).max(first)
}

/// The quarter of an hour in which `time` lies, counted from 1970.
pub(crate) fn quarter(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs() / 900).unwrap_or(i64::MAX)
}
