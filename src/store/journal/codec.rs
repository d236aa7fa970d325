//! Rows as bytes. The same bytes are sealed in the journal and, read back from a store's columns, checked by whoever verifies it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    catalog::{DeploymentId, Money, Tier},
    model::{CostSource, Operation, Usage},
    store::{
        Chain, LedgerRow, RowStatus,
        plain::{millis, text, time},
    },
};

/// The first byte of each row: another layout gets another number.
const LAYOUT: u8 = 1;

/// `S` is text, borrowed or not.
#[derive(Serialize, Deserialize)]
struct Layout<S> {
    request: S,
    attempt: u32,
    tenant: S,
    accounts: SmallVec<[S; 4]>,
    key: Option<S>,
    user: Option<S>,
    conversation: Option<S>,
    op: S,
    deployment: S,
    tier: u8,
    status: S,
    usage: Option<[u64; 6]>,
    cost: i64,
    source: S,
    price_version: Option<S>,
    clamped: bool,
    started_ms: u64,
    first_frame_ms: Option<u32>,
    total_ms: u32,
}

/// Appends the bytes of `row` to `to`.
///
/// Two rows have the same bytes exactly if all their columns are the same in a store: times count in milliseconds, and a character that
/// not every store can hold counts as its replacement.
pub fn encode(row: &LedgerRow, to: &mut Vec<u8>) {
    let layout = Layout {
        request: text(&row.request),
        attempt: row.attempt,
        tenant: text(&row.tenant),
        accounts: row.accounts.iter().map(|account| text(account)).collect(),
        key: row.key.as_deref().map(text),
        user: row.user.as_deref().map(text),
        conversation: row.conversation.as_deref().map(text),
        op: row.op.as_str().into(),
        deployment: row.deployment.as_str().into(),
        tier: row.tier.level(),
        status: row.status.as_str().into(),
        usage: row.usage.map(|usage| usage.buckets()),
        cost: row.cost.nanos(),
        source: row.source.as_str().into(),
        price_version: row.price_version.as_deref().map(text),
        clamped: row.clamped,
        started_ms: u64::try_from(millis(row.started)).unwrap_or(0),
        first_frame_ms: row.first_frame_ms,
        total_ms: row.total_ms,
    };
    to.push(LAYOUT);
    let bytes = postcard::to_extend(&layout, std::mem::take(to));
    *to = bytes.expect("a vector takes any number of bytes");
}

/// The row of these bytes; `None` if they are none, or of another layout.
pub(super) fn decode(bytes: &[u8]) -> Option<LedgerRow> {
    let layout: Layout<&str> = postcard::from_bytes(bytes.strip_prefix(&[LAYOUT])?).ok()?;
    let shared = |text: Option<&str>| text.map(Arc::from);
    Some(LedgerRow {
        request: layout.request.into(),
        attempt: layout.attempt,
        tenant: layout.tenant.into(),
        accounts: layout.accounts.into_iter().map(Arc::from).collect(),
        key: shared(layout.key),
        user: shared(layout.user),
        conversation: shared(layout.conversation),
        op: Operation::of_name(layout.op)?,
        deployment: DeploymentId::from(layout.deployment),
        tier: Tier::new(layout.tier),
        status: RowStatus::of_name(layout.status)?,
        usage: layout.usage.map(Usage::from_buckets),
        cost: Money::from_nanos(layout.cost),
        source: CostSource::of_name(layout.source)?,
        price_version: shared(layout.price_version),
        clamped: layout.clamped,
        started: time(i64::try_from(layout.started_ms).unwrap_or(i64::MAX)),
        first_frame_ms: layout.first_frame_ms,
        total_ms: layout.total_ms,
    })
}

/// The chain after a row, given its number, its bytes and the chain before it.
#[must_use]
pub fn next_chain(key: &[u8; 32], before: &Chain, seq: u64, row: &[u8]) -> Chain {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(before).update(&seq.to_le_bytes()).update(row);
    let mut chain = Chain::default();
    chain.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    chain
}
