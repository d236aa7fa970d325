use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::conversation;
use crate::store::{HotEntry, HotKey, HotKind, HotStore};

/// Copies are found together, go after their time, and never give way to older ones.
///
/// # Panics
/// When the store breaks its contract.
pub async fn hot_store(store: &dyn HotStore) {
    let long = Duration::from_secs(60);
    let keys = [HotKind::Messages, HotKind::Summary]
        .map(|kind| HotKey::new(kind, &conversation("acme", "c")));
    let entry = |at: usize, version, value: &'static str| HotEntry {
        key: keys[at].clone(),
        version,
        value: Bytes::from_static(value.as_bytes()),
    };
    let put = async |entries: &[HotEntry], ttl| {
        store.put(entries, ttl).await.expect("the store answers");
    };
    let get = async || store.get(&keys).await.expect("the store answers");

    assert_eq!(get().await, [None, None]);
    put(&[entry(1, 0, "no summary")], long).await;
    assert_eq!(get().await, [None, Some("no summary".into())]);
    put(&[entry(0, 9, "nine"), entry(1, 4, "four")], long).await;
    put(&[entry(0, 8, "eight"), entry(1, 5, "five")], long).await;
    assert_eq!(get().await, [Some("nine".into()), Some("five".into())]);
    put(&[entry(0, 9, "nine again")], long).await;
    assert_eq!(
        get().await[0],
        Some("nine again".into()),
        "as new is no older"
    );

    put(&[entry(0, (1 << 53) - 1, "")], Duration::from_millis(60)).await;
    put(&[entry(0, (1 << 53) - 2, "late")], long).await;
    assert_eq!(get().await[0], Some(Bytes::new()), "nothing is a value");
    sleep(Duration::from_millis(150)).await;
    assert_eq!(get().await, [None, Some("five".into())]);
    put(&[entry(0, 1, "anew")], long).await;
    assert_eq!(get().await[0], Some("anew".into()));

    let other = [HotKey::new(HotKind::Messages, &conversation("rival", "c"))];
    let found = store.get(&other).await.expect("the store answers");
    assert_eq!(found, [None], "tenants do not mix");
}
