//! Rows as bytes. The same bytes are sealed in the journal and, read back from a store's columns, checked by whoever verifies it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    catalog::{DeploymentId, Money, Tier},
    model::{CostSource, Operation, Usage},
    store::{Chain, LedgerRow, RowStatus},
};

/// The first byte of each row: another layout gets another number.
const LAYOUT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Layout<'a> {
    request: &'a str,
    attempt: u32,
    tenant: &'a str,
    #[serde(borrow)]
    accounts: SmallVec<[&'a str; 4]>,
    key: Option<&'a str>,
    user: Option<&'a str>,
    conversation: Option<&'a str>,
    op: &'a str,
    deployment: &'a str,
    tier: u8,
    status: &'a str,
    usage: Option<[u64; 6]>,
    cost: i64,
    source: &'a str,
    price_version: Option<&'a str>,
    clamped: bool,
    started_ms: u64,
    first_frame_ms: Option<u32>,
    total_ms: u32,
}

/// Appends the bytes of `row` to `to`.
///
/// Two rows have the same bytes exactly if all their columns are the same; times count in milliseconds.
pub fn encode(row: &LedgerRow, to: &mut Vec<u8>) {
    let layout = Layout {
        request: &row.request,
        attempt: row.attempt,
        tenant: &row.tenant,
        accounts: row.accounts.iter().map(|account| &**account).collect(),
        key: row.key.as_deref(),
        user: row.user.as_deref(),
        conversation: row.conversation.as_deref(),
        op: row.op.as_str(),
        deployment: row.deployment.as_str(),
        tier: row.tier.level(),
        status: row.status.as_str(),
        usage: row.usage.map(buckets),
        cost: row.cost.nanos(),
        source: row.source.as_str(),
        price_version: row.price_version.as_deref(),
        clamped: row.clamped,
        started_ms: millis(row.started),
        first_frame_ms: row.first_frame_ms,
        total_ms: row.total_ms,
    };
    to.push(LAYOUT);
    let bytes = postcard::to_extend(&layout, std::mem::take(to));
    *to = bytes.expect("a vector takes any number of bytes");
}

/// The row of these bytes; `None` if they are none, or of another layout.
pub(super) fn decode(bytes: &[u8]) -> Option<LedgerRow> {
    let layout: Layout<'_> = postcard::from_bytes(bytes.strip_prefix(&[LAYOUT])?).ok()?;
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
        usage: layout.usage.map(usage),
        cost: Money::from_nanos(layout.cost),
        source: CostSource::of_name(layout.source)?,
        price_version: shared(layout.price_version),
        clamped: layout.clamped,
        started: UNIX_EPOCH + Duration::from_millis(layout.started_ms),
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

/// In the order of the columns.
fn buckets(usage: Usage) -> [u64; 6] {
    [
        usage.input,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.output,
        usage.reasoning,
    ]
}

fn usage(buckets: [u64; 6]) -> Usage {
    let [
        input,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        output,
        reasoning,
    ] = buckets;
    Usage {
        input,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        output,
        reasoning,
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
