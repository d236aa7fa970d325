use blake3::Hasher;

use super::{AuditEvent, AuditRow};
use crate::store::{
    Chain,
    plain::{millis, text},
};

/// Keeps these hashes apart from those of ledger rows, which begin with a chain.
const PURPOSE: &[u8; 16] = b"rungs audit rows";

/// The chain after a row, given its number and the chain before it.
///
/// Two rows have the same one exactly if all their columns are the same in a store.
pub(in crate::store) fn next_chain(
    key: &[u8; 32],
    before: &Chain,
    seq: u64,
    row: &AuditRow,
) -> Chain {
    let AuditRow {
        at,
        session,
        tenant,
        key: api_key,
        user,
        tool,
        effect,
        arguments,
        event,
    } = row;
    let mut hasher = Hasher::new_keyed(key);
    hasher.update(PURPOSE).update(before);
    hasher.update(&seq.to_le_bytes());
    hasher.update(&millis(*at).to_le_bytes());
    for part in [Some(tenant), Some(tool), Some(effect), session.as_ref()] {
        add(&mut hasher, part.map(|part| &**part));
    }
    add(&mut hasher, api_key.as_deref());
    add(&mut hasher, user.as_deref());
    hasher.update(arguments);
    add(&mut hasher, Some(event.as_str()));
    match event {
        AuditEvent::Allowed => {}
        AuditEvent::Refused(why) => add(&mut hasher, Some(why)),
        AuditEvent::Ended {
            allowed,
            outcome,
            cost,
        } => {
            hasher.update(&allowed.to_le_bytes());
            add(&mut hasher, Some(outcome.as_str()));
            hasher.update(&[u8::from(cost.is_some())]);
            hasher.update(&cost.unwrap_or_default().nanos().to_le_bytes());
        }
    }
    let mut chain = Chain::default();
    chain.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    chain
}

/// Adds a text with its length, so that none can be moved into the next.
fn add(hasher: &mut Hasher, part: Option<&str>) {
    hasher.update(&[u8::from(part.is_some())]);
    let part = text(part.unwrap_or_default());
    let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
    hasher.update(&length.to_le_bytes()).update(part.as_bytes());
}
