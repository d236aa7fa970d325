use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::StoreFuture;
use crate::{
    catalog::{Deployment, DeploymentId, Money, Tier},
    error::ErrorKind,
    model::{ModelRequest, Operation, Usage},
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
    /// The tokens, if the provider told.
    pub usage: Option<Usage>,
    /// What it cost.
    pub cost: Money,
    /// How the cost is known.
    pub source: CostSource,
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
        let ctx = &request.ctx;
        let waited_ms = u32::try_from(waited.as_millis()).unwrap_or(u32::MAX);
        let now = SystemTime::now();
        Self {
            request: ctx.id.clone(),
            attempt: 0,
            tenant: ctx.tenant.clone(),
            key: ctx.key.clone(),
            user: ctx.user.clone(),
            conversation: ctx.conversation.clone(),
            op: request.op,
            deployment: deployment.id.clone(),
            tier: deployment.tier,
            status: RowStatus::CacheHit,
            usage: None,
            cost: Money::ZERO,
            source: CostSource::Nothing,
            started: now.checked_sub(waited).unwrap_or(now),
            first_frame_ms: Some(waited_ms),
            total_ms: waited_ms,
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
            Self::CacheHit => "cache_hit",
        }
    }
}

/// How a cost is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CostSource {
    /// Reported tokens times the price list.
    Computed,
    /// Tokens estimated from the bytes, times the price list.
    Estimated,
    /// The attempt may have cost something, but nothing tells how much.
    Unknown,
    /// It cost nothing: not sent, refused without an answer, or served from the cache.
    Nothing,
}

impl CostSource {
    /// The name in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Estimated => "estimated",
            Self::Unknown => "unknown",
            Self::Nothing => "nothing",
        }
    }
}

/// Whose spending to sum up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent<'a> {
    /// That of one key.
    Key(&'a str),
    /// That of one tenant.
    Tenant(&'a str),
    /// All of it.
    All,
}

/// Keeps the rows.
pub trait Ledger: Send + Sync {
    /// Takes a row. Called from a tap: it must not block, and what it has taken it writes.
    fn record(&self, row: LedgerRow);

    /// Whether another attempt may begin; `false` while the writer is too far behind, so that memory stays bounded.
    fn has_room(&self) -> bool {
        true
    }

    /// Returns once every row taken so far is written. It waits as long as that takes: give it a time limit of your own.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the writer is gone and rows were lost with it.
    fn flush(&self) -> StoreFuture<'_, ()>;

    /// The sum of the costs of attempts that began at `since` or later, among the rows written so far.
    fn spent<'a>(&'a self, whose: Spent<'a>, since: SystemTime) -> StoreFuture<'a, Money>;
}
