use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    catalog::Tier,
    error::ErrorKind,
    model::OnExhaust,
    store::{KeyRecord, KeyStore, OnStoreDown, Role, Secret},
};

/// A key `id` of tenant `acme`, made `created_ms` after 1970, with all options set but a parent.
#[must_use]
pub fn key(id: &str, created_ms: u64) -> KeyRecord {
    let budgets = ["5/month", "20/week@sun", "1/day Europe/Berlin", "100/total"];
    let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
    KeyRecord {
        id: id.to_owned(),
        name: "the backend's".to_owned(),
        role: Role::User,
        hash: [7; 32],
        previous: Some(Secret {
            hash: [6; 32],
            until: at(created_ms + 60_000),
        }),
        tenant: "acme".to_owned(),
        parent: None,
        project: Some("website".to_owned()),
        models: vec!["gpt-4o-mini".to_owned(), "auto".to_owned()],
        max_tier: Some(Tier::L2),
        routes: vec!["chat".to_owned()],
        budgets: budgets.iter().filter_map(|b| b.parse().ok()).collect(),
        warn_at: Some(80),
        on_exhaust: OnExhaust::Refuse,
        on_store_down: OnStoreDown::Open,
        rpm: Some(60),
        tpm: Some(100_000),
        created: at(created_ms),
        expires: Some(at(4_102_444_800_000)),
        revoked: None,
        version: 0,
    }
}

/// The same without any option.
fn bare_key(id: &str, created_ms: u64) -> KeyRecord {
    KeyRecord {
        role: Role::Admin,
        hash: [9; 32],
        previous: None,
        project: None,
        models: Vec::new(),
        max_tier: None,
        routes: Vec::new(),
        budgets: Vec::new(),
        warn_at: None,
        on_exhaust: OnExhaust::Downgrade,
        on_store_down: OnStoreDown::Closed,
        rpm: None,
        tpm: None,
        expires: None,
        ..key(id, created_ms)
    }
}

/// Keys come back as they were stored, once each, oldest first.
///
/// # Panics
/// When the store breaks its contract.
pub async fn key_store(store: &dyn KeyStore) {
    let get = async |id| store.get(id).await.expect("the store answers");
    let (full, bare) = (key("k_new", 2_000), bare_key("k_old", 1_000));
    assert!(get("k_new").await.is_none());
    store.insert(&full).await.expect("a new key");
    store.insert(&bare).await.expect("another new key");
    assert_eq!(get("k_new").await.as_ref(), Some(&full));
    assert_eq!(get("k_old").await.as_ref(), Some(&bare));
    for strange in ["", "k_%", "k_new' OR '1'='1", "K_NEW", "k_new\0"] {
        assert!(get(strange).await.is_none(), "{strange:?} is no key");
    }

    let twice = KeyRecord {
        hash: [8; 32],
        ..full.clone()
    };
    let error = store
        .insert(&twice)
        .await
        .expect_err("an id belongs to one key");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(get("k_new").await.as_ref(), Some(&full), "nothing changed");
    let all = store.list().await.expect("the store answers");
    assert_eq!(all, [bare, full], "oldest first");
    key_updates(store).await;
    key_revocations(store).await;
}

/// A change is made to the version that it was made from, and to no other; what a key is stays.
async fn key_updates(store: &dyn KeyStore) {
    let get = async |id| store.get(id).await.expect("the store answers");
    let update = async |key: KeyRecord| store.update(&key).await.expect("the store answers");
    let full = get("k_new").await.expect("there is this key");
    let changed = KeyRecord {
        name: "renamed".to_owned(),
        version: full.version,
        // None of these may change.
        role: Role::Admin,
        tenant: "other".to_owned(),
        parent: Some("k_old".to_owned()),
        created: UNIX_EPOCH,
        revoked: Some(UNIX_EPOCH),
        ..bare_key("k_new", 0)
    };
    let expected = KeyRecord {
        role: full.role,
        tenant: full.tenant.clone(),
        parent: None,
        created: full.created,
        revoked: None,
        version: full.version + 1,
        ..changed.clone()
    };
    assert!(update(changed).await);
    assert_eq!(get("k_new").await.as_ref(), Some(&expected));
    assert!(!update(full.clone()).await, "it was changed meanwhile");
    assert_eq!(get("k_new").await.as_ref(), Some(&expected));
    assert!(!update(key("k_none", 0)).await, "there is no such key");
    assert!(get("k_none").await.is_none(), "nor is there now");
    let again = KeyRecord {
        version: expected.version,
        ..full
    };
    assert!(update(again).await);
}

/// A key is revoked once, with all keys below it.
async fn key_revocations(store: &dyn KeyStore) {
    let get = async |id| store.get(id).await.expect("the store answers");
    let revoke = async |id| store.revoke(id).await.expect("the store answers");
    for (id, parent) in [
        ("k_child", "k_new"),
        ("k_grandchild", "k_child"),
        ("k_nephew", "k_old"),
    ] {
        let parent = Some(parent.to_owned());
        let child = KeyRecord {
            parent,
            ..bare_key(id, 3_000)
        };
        store.insert(&child).await.expect("a new key");
        assert_eq!(get(id).await.as_ref(), Some(&child));
    }
    assert!(!revoke("k_none").await, "there is no such key");
    assert!(!revoke("k_new' OR '1'='1").await, "nor such a one");
    assert!(revoke("k_grandchild").await);
    let early = get("k_grandchild").await.expect("revoked keys stay");

    assert!(revoke("k_new").await);
    let revoked = get("k_new").await.expect("revoked keys stay");
    let when = revoked.revoked.expect("it is revoked");
    let age = SystemTime::now().duration_since(when).unwrap_or_default();
    assert!(age < Duration::from_secs(60));
    assert!(!revoke("k_new").await, "nothing is left to take back");
    let child = get("k_child").await.expect("revoked keys stay");
    assert!(child.revoked.is_some(), "it was below the other");
    assert_eq!(
        get("k_grandchild").await,
        Some(early),
        "the first revocation stays"
    );
    for other in ["k_old", "k_nephew"] {
        let other = get(other).await.expect("there is this key");
        assert_eq!(other.revoked, None, "it was not below the other");
    }

    let changed = store.update(&revoked).await.expect("the store answers");
    assert!(!changed, "what is revoked does not change any more");
    assert_eq!(get("k_new").await.as_ref(), Some(&revoked));
    let error = store
        .insert(&key("k_new", 5_000))
        .await
        .expect_err("a revoked id does not come back");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
