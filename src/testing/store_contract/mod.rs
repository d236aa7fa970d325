//! What every store must do, whatever it is made of. Run each function against a fresh, empty store.
//!
//! The functions panic, as tests do, at the first promise that is not kept. Times are short but real: they also run against stores
//! that live outside of the process.

mod audit;
mod conversations;
mod hot;
mod keys;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::sleep;

pub use super::{
    idempotency::{idempotency_store, kept},
    rates::{rate_store, take},
};
use crate::{
    catalog::Money,
    error::ErrorKind,
    model::{Collected, End},
    store::{Budgets, CacheEntry, CacheKey, CacheStore},
};

pub use audit::{audit_findings, audit_log, audit_row};
pub use conversations::{conversation, conversation_store, todo_store, turn};
pub use hot::hot_store;
pub use keys::{key, key_store};

/// An answer of `deployment` with the body `text`.
#[must_use]
pub fn entry(deployment: &str, text: &'static str) -> Arc<CacheEntry> {
    Arc::new(CacheEntry {
        deployment: deployment.into(),
        verdict: None,
        answer: Collected {
            whole: true,
            data: vec![Bytes::from_static(text.as_bytes())],
            end: End::default(),
        },
    })
}

/// The name of a question about the model `m`, one for each number.
#[must_use]
pub fn question(number: u8) -> CacheKey {
    CacheKey {
        model: "m".into(),
        hash: [number; 32],
    }
}

/// Entries are found under their own key, replaced by newer ones, and gone after their time.
///
/// # Panics
/// When the store breaks its contract.
pub async fn cache_store(store: &dyn CacheStore) {
    let [a, b, c] = [1, 2, 3].map(question);
    let get = async |key| store.get(key).await.expect("the cache answers");
    let long = Duration::from_secs(60);

    assert!(get(&a).await.is_none(), "an empty cache has nothing");
    store.put(a.clone(), entry("p/one", "1"), long);
    store.put(b.clone(), entry("p/two", "2"), long);
    let found = get(&a).await.expect("what was put is there");
    assert_eq!(found.deployment.as_str(), "p/one");
    assert_eq!(found.answer.data, ["1"]);

    store.put(a.clone(), entry("p/three", "3"), long);
    let found = get(&a).await.expect("what was replaced is there");
    assert_eq!(found.answer.data, ["3"], "the newer entry wins");
    let other = get(&b).await.expect("the other entry is there");
    assert_eq!(other.answer.data, ["2"], "keys do not mix");

    store.put(
        c.clone(),
        entry("p/one", "short"),
        Duration::from_millis(40),
    );
    store.put(
        b.clone(),
        entry("p/two", "short"),
        Duration::from_millis(40),
    );
    assert!(get(&c).await.is_some(), "not expired yet");
    sleep(Duration::from_millis(120)).await;
    assert!(get(&c).await.is_none(), "expired");
    assert!(get(&b).await.is_none(), "the newer time to live counts");
    assert!(get(&a).await.is_some(), "others live on");

    store.put(c.clone(), entry("p/one", "never"), Duration::ZERO);
    assert!(get(&c).await.is_none(), "no time to live means not kept");
}

/// Holds are all or none, settlements post what was spent. Expects the budgets `1/total` on `key:contract` and `0.5/total` on
/// `tenant:contract`, `0/total` on `free:contract`, nothing spent, and none on `user:contract`.
///
/// # Panics
/// When the store breaks its contract.
pub async fn budgets(book: &dyn Budgets) {
    let cents = |n: i64| Money::from_nanos(n * 10_000_000);
    let [key, tenant, user]: [Arc<str>; 3] =
        ["key:contract", "tenant:contract", "user:contract"].map(Into::into);
    let stands = |account: &str| {
        let balance = book.balance(account).expect("the account has a budget");
        (balance.posted, balance.reserved)
    };
    let both = [key.clone(), tenant.clone(), user.clone()];
    let only_key = [key.clone()];

    let hold = async |accounts: &[Arc<str>], amount| match book.hold(accounts, amount) {
        Err(refused) => match book.wait(accounts, amount) {
            Some(waiting) => waiting.await,
            None => Err(refused),
        },
        held => held,
    };

    assert!(book.balance("user:contract").is_none());
    let anything = hold(std::slice::from_ref(&user), Money::MAX).await;
    let anything = anything.expect("no budget, no limit");
    book.settle(&[user], anything, Money::MAX);

    let first = hold(&both, cents(30)).await.expect("there is room");
    assert_eq!(first.amount, cents(30));
    assert_eq!(stands(&key), (cents(0), cents(30)));
    assert_eq!(stands(&tenant), (cents(0), cents(30)));

    let error = hold(&both, cents(21))
        .await
        .expect_err("the tenant has no room");
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert!(error.message().contains("tenant"), "{error}");
    assert!(
        !error.message().contains("contract"),
        "no ids in messages: {error}"
    );
    assert_eq!(stands(&key), (cents(0), cents(30)), "none is held");

    let exact = hold(&both, cents(20)).await.expect("to the last cent");
    assert!(
        hold(&both, Money::from_nanos(1)).await.is_err(),
        "not a nano more"
    );
    let free = hold(&both, Money::ZERO)
        .await
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

    let dear = hold(&both, cents(40)).await.expect("there is room");
    book.settle(&both, dear, cents(60));
    assert_eq!(stands(&tenant), (cents(70), cents(0)), "truth above limit");
    let error = hold(&both, Money::ZERO)
        .await
        .expect_err("what is spent pays for nothing more");
    assert!(error.message().contains("tenant"), "{error}");
    let none = [Arc::from("free:contract")];
    let free = hold(&none, Money::ZERO)
        .await
        .expect("no money pays for what is free");
    book.settle(&none, free, Money::ZERO);
    assert!(hold(&none, Money::from_nanos(1)).await.is_err());

    let twice = [key.clone(), key.clone()];
    assert!(
        hold(&twice, cents(20)).await.is_err(),
        "30 cents are left, not 40"
    );
    assert_eq!(stands(&key), (cents(70), cents(0)));
    let own = hold(&only_key, cents(30))
        .await
        .expect("the key itself has room");
    book.settle(&only_key, own, cents(30));
    assert_eq!(stands(&key), (cents(100), cents(0)));
}
