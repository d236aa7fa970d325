//! What every store must do, whatever it is made of. Run each function against a fresh, empty store.
//!
//! The functions panic, as tests do, at the first promise that is not kept. Times are short but real: they also run against stores
//! that live outside of the process.

mod keys;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::{
    catalog::Money,
    error::ErrorKind,
    model::{Collected, End},
    store::{Budgets, CacheEntry, CacheStore, Quota, RateDecision, RateStore},
};

pub use keys::{key, key_store};

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

/// A quota can be taken at once, is exact, refills evenly, and takes corrections.
///
/// # Panics
/// When the store breaks its contract.
pub async fn rate_store(store: &dyn RateStore) {
    let quota = Quota {
        limit: 10,
        period: Duration::from_millis(500),
    };
    let take = async |name, units| {
        let decision = store.take(name, quota, units).await;
        decision.expect("the store answers")
    };
    let remaining = |decision| match decision {
        RateDecision::Taken { remaining } => remaining,
        RateDecision::Refused { .. } => u64::MAX,
    };
    let refused = |decision| match decision {
        RateDecision::Refused { retry_after } => Some(retry_after),
        RateDecision::Taken { .. } => None,
    };

    assert_eq!(remaining(take("burst", 0).await), 10);
    assert_eq!(remaining(take("burst", 4).await), 6);
    assert!(remaining(take("burst", 6).await) <= 1, "all of it at once");
    let wait = refused(take("burst", 5).await).expect("nothing is left");
    assert!(wait <= quota.period / 2 && wait > quota.period / 5);
    assert!(
        remaining(take("other", 10).await) <= 1,
        "names do not share a quota"
    );
    let before = Instant::now();
    sleep(wait + Duration::from_millis(2)).await;
    assert!(
        refused(take("burst", 5).await).is_none(),
        "the same request succeeds after retry_after ({wait:?}, waited {:?})",
        before.elapsed()
    );

    let wait = refused(take("fresh", 11).await).expect("more than the quota is always refused");
    assert!(wait <= quota.period);
    assert_eq!(
        remaining(take("fresh", 0).await),
        10,
        "a refusal takes nothing"
    );

    take("fix", 10).await;
    store.adjust("fix", quota, -10);
    assert_eq!(remaining(take("fix", 0).await), 10, "a refund is a refund");
    store.adjust("fix", quota, -100);
    assert_eq!(
        remaining(take("fix", 0).await),
        10,
        "never more than the quota"
    );
    store.adjust("fix", quota, 15);
    let wait = refused(take("fix", 10).await).expect("overuse must be worked off");
    assert!(wait > quota.period, "{wait:?}");
    store.adjust("new", quota, 10);
    assert!(
        refused(take("new", 9).await).is_some(),
        "a correction may come first"
    );
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
