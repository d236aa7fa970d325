//! What every store must do, whatever it is made of. Run each function against a fresh, empty store.
//!
//! The functions panic, as tests do, at the first promise that is not kept. Times are short but real: they also run against stores
//! that live outside of the process.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::time::sleep;

pub use super::{
    idempotency::{idempotency_store, kept},
    rates::{rate_store, take},
};
use crate::{
    catalog::{DeploymentId, Money, Tier},
    error::ErrorKind,
    model::{Collected, End, Operation, Usage},
    store::{
        Budgets, CacheEntry, CacheStore, CostSource, KeyRecord, KeyStore, Ledger, LedgerRow,
        RowStatus, Spent,
    },
};

/// An answer of `deployment` with the body `text`.
#[must_use]
pub fn entry(deployment: &str, text: &'static str) -> Arc<CacheEntry> {
    Arc::new(CacheEntry {
        deployment: deployment.into(),
        answer: Collected {
            whole: true,
            data: vec![Bytes::from_static(text.as_bytes())],
            end: End::default(),
        },
    })
}

/// A row of attempt `attempt` of call `request`, of tenant `acme` and key `k_1`, that cost `nanos` and began `age` ago.
#[must_use]
pub fn row(request: &str, attempt: u32, nanos: i64, age: Duration) -> LedgerRow {
    LedgerRow {
        request: request.into(),
        attempt,
        tenant: "acme".into(),
        key: Some("k_1".into()),
        user: None,
        conversation: None,
        op: Operation::Chat,
        deployment: DeploymentId::from("openai/gpt-4o-mini"),
        tier: Tier::L1,
        status: RowStatus::Ok,
        usage: Some(Usage::new(1_000, 200)),
        cost: Money::from_nanos(nanos),
        source: CostSource::Computed,
        started: SystemTime::now() - age,
        first_frame_ms: Some(210),
        total_ms: 1_300,
    }
}

/// A key `id` of tenant `acme`, made `created_ms` after 1970, with all options set.
#[must_use]
pub fn key(id: &str, created_ms: u64) -> KeyRecord {
    KeyRecord {
        id: id.to_owned(),
        name: "the backend's".to_owned(),
        hash: [7; 32],
        tenant: "acme".to_owned(),
        models: vec!["gpt-4o-mini".to_owned(), "auto".to_owned()],
        max_tier: Some(Tier::L2),
        budget: "5/month".parse().ok(),
        rpm: Some(60),
        tpm: Some(100_000),
        created: UNIX_EPOCH + Duration::from_millis(created_ms),
        revoked: None,
    }
}

/// Entries are found under their own key, replaced by newer ones, and gone after their time.
///
/// # Panics
/// When the store breaks its contract.
pub async fn cache_store(store: &dyn CacheStore) {
    let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
    let get = async |key| store.get(key).await.expect("the cache answers");
    let long = Duration::from_secs(60);

    assert!(get(&a).await.is_none(), "an empty cache has nothing");
    store.put(a, entry("p/one", "1"), long);
    store.put(b, entry("p/two", "2"), long);
    let found = get(&a).await.expect("what was put is there");
    assert_eq!(found.deployment.as_str(), "p/one");
    assert_eq!(found.answer.data, ["1"]);

    store.put(a, entry("p/three", "3"), long);
    let found = get(&a).await.expect("what was replaced is there");
    assert_eq!(found.answer.data, ["3"], "the newer entry wins");
    let other = get(&b).await.expect("the other entry is there");
    assert_eq!(other.answer.data, ["2"], "keys do not mix");

    store.put(c, entry("p/one", "short"), Duration::from_millis(40));
    store.put(b, entry("p/two", "short"), Duration::from_millis(40));
    assert!(get(&c).await.is_some(), "not expired yet");
    sleep(Duration::from_millis(120)).await;
    assert!(get(&c).await.is_none(), "expired");
    assert!(get(&b).await.is_none(), "the newer time to live counts");
    assert!(get(&a).await.is_some(), "others live on");

    store.put(c, entry("p/one", "never"), Duration::ZERO);
    assert!(get(&c).await.is_none(), "no time to live means not kept");
}

/// Holds are all or none, settlements post what was spent. Expects the budgets `1/total` on `key:contract` and `0.5/total` on
/// `tenant:contract`, `0/total` on `free:contract`, nothing spent, and none on `user:contract`.
///
/// # Panics
/// When the store breaks its contract.
pub fn budgets(book: &dyn Budgets) {
    let cents = |n: i64| Money::from_nanos(n * 10_000_000);
    let [key, tenant, user]: [Arc<str>; 3] =
        ["key:contract", "tenant:contract", "user:contract"].map(Into::into);
    let stands = |account: &str| {
        let balance = book.balance(account).expect("the account has a budget");
        (balance.posted, balance.reserved)
    };
    let both = [key.clone(), tenant.clone(), user.clone()];
    let only_key = [key.clone()];

    assert!(book.balance("user:contract").is_none());
    let anything = book.hold(std::slice::from_ref(&user), Money::MAX);
    let anything = anything.expect("no budget, no limit");
    book.settle(&[user], anything, Money::MAX);

    let first = book.hold(&both, cents(30)).expect("there is room");
    assert_eq!(first.amount, cents(30));
    assert_eq!(stands(&key), (cents(0), cents(30)));
    assert_eq!(stands(&tenant), (cents(0), cents(30)));

    let error = book
        .hold(&both, cents(21))
        .expect_err("the tenant has no room");
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert!(error.message().contains("tenant"), "{error}");
    assert!(
        !error.message().contains("contract"),
        "no ids in messages: {error}"
    );
    assert_eq!(stands(&key), (cents(0), cents(30)), "none is held");

    let exact = book.hold(&both, cents(20)).expect("to the last cent");
    assert!(
        book.hold(&both, Money::from_nanos(1)).is_err(),
        "not a nano more"
    );
    let free = book
        .hold(&both, Money::ZERO)
        .expect("held is not spent: what is free goes on");
    book.settle(&both, free, Money::ZERO);
    book.settle(&both, exact, Money::ZERO);
    assert_eq!(
        stands(&tenant),
        (cents(0), cents(30)),
        "a release posts nothing"
    );
    book.settle(&both, first, cents(10));
    assert_eq!(stands(&key), (cents(10), cents(0)));
    assert_eq!(stands(&tenant), (cents(10), cents(0)));

    let dear = book.hold(&both, cents(40)).expect("there is room");
    book.settle(&both, dear, cents(60));
    assert_eq!(stands(&tenant), (cents(70), cents(0)), "truth above limit");
    let error = book
        .hold(&both, Money::ZERO)
        .expect_err("what is spent pays for nothing more");
    assert!(error.message().contains("tenant"), "{error}");
    let none = [Arc::from("free:contract")];
    let free = book
        .hold(&none, Money::ZERO)
        .expect("no money pays for what is free");
    book.settle(&none, free, Money::ZERO);
    assert!(book.hold(&none, Money::from_nanos(1)).is_err());

    let twice = [key.clone(), key.clone()];
    assert!(
        book.hold(&twice, cents(20)).is_err(),
        "30 cents are left, not 40"
    );
    assert_eq!(stands(&key), (cents(70), cents(0)));
    let own = book
        .hold(&only_key, cents(30))
        .expect("the key itself has room");
    book.settle(&only_key, own, cents(30));
    assert_eq!(stands(&key), (cents(100), cents(0)));
}

/// What was recorded is in the sums after a flush: by key, by tenant, from a point in time.
///
/// # Panics
/// When the store breaks its contract.
pub async fn ledger(ledger: &dyn Ledger) {
    let spent = async |whose, age| {
        let since = SystemTime::now() - age;
        let sum = ledger.spent(whose, since).await;
        sum.expect("the ledger answers").nanos()
    };
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
    let day = hour * 24;

    assert!(ledger.has_room());
    ledger
        .flush()
        .await
        .expect("flushing nothing is no failure");
    assert_eq!(spent(Spent::All, day).await, 0);

    ledger.record(row("req_1", 1, 5, Duration::ZERO));
    ledger.record(row("req_1", 2, 7, Duration::ZERO));
    ledger.record(row("req_2", 1, 100, hour));
    ledger.record(LedgerRow {
        key: None,
        tenant: "other".into(),
        user: Some("user".into()),
        conversation: Some("conversation".into()),
        status: RowStatus::Failed(ErrorKind::Timeout),
        usage: None,
        source: CostSource::Unknown,
        first_frame_ms: None,
        ..row("req_3", 1, 1_000, Duration::ZERO)
    });
    ledger.record(LedgerRow {
        status: RowStatus::CacheHit,
        source: CostSource::Nothing,
        ..row("req_4", 0, 0, Duration::ZERO)
    });
    ledger.flush().await.expect("the rows are written");

    assert_eq!(spent(Spent::All, day).await, 1_112);
    assert_eq!(spent(Spent::All, minute).await, 1_012);
    assert_eq!(spent(Spent::Key("k_1"), day).await, 112);
    assert_eq!(spent(Spent::Key("k_1"), minute).await, 12);
    assert_eq!(spent(Spent::Key("k_2"), day).await, 0);
    assert_eq!(spent(Spent::Tenant("acme"), day).await, 112);
    assert_eq!(spent(Spent::Tenant("other"), day).await, 1_000);
    assert_eq!(spent(Spent::Tenant("other' OR '1'='1"), day).await, 0);
}

/// Keys come back as they were stored, once each, oldest first, and are revoked once.
///
/// # Panics
/// When the store breaks its contract.
pub async fn key_store(store: &dyn KeyStore) {
    let get = async |id| store.get(id).await.expect("the store answers");
    let (full, bare) = (
        key("k_new", 2_000),
        KeyRecord {
            models: Vec::new(),
            max_tier: None,
            budget: None,
            rpm: None,
            tpm: None,
            hash: [9; 32],
            ..key("k_old", 1_000)
        },
    );
    assert!(get("k_new").await.is_none());
    store.insert(&full).await.expect("a new key");
    store.insert(&bare).await.expect("another new key");
    assert_eq!(get("k_new").await.as_ref(), Some(&full));
    assert_eq!(get("k_old").await.as_ref(), Some(&bare));

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
    assert_eq!(all, [bare, full.clone()], "oldest first");

    let revoke = async |id| store.revoke(id).await.expect("the store answers");
    assert!(!revoke("k_none").await, "there is no such key");
    assert!(revoke("k_new").await);
    let revoked = get("k_new").await.expect("revoked keys stay");
    let when = revoked.revoked.expect("it is revoked");
    let age = SystemTime::now().duration_since(when).unwrap_or_default();
    assert!(age < Duration::from_secs(60));
    assert!(!revoke("k_new").await, "nothing is left to take back");
    assert_eq!(
        get("k_new").await,
        Some(revoked),
        "the first revocation stays"
    );
    let error = store
        .insert(&full)
        .await
        .expect_err("a revoked id does not come back");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
