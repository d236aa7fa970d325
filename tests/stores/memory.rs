use std::time::{Duration, SystemTime};

use rungs::{
    catalog::Money,
    store::{
        Begun, CacheStore, Correction, IdempotencyStore, Ledger, Quota, RateDecision, RateStore,
        memory::{
            MemoryBudgets, MemoryCache, MemoryIdempotency, MemoryKeys, MemoryLedger, MemoryRates,
        },
    },
    testing::{
        ledger_contract::{self, row},
        store_contract::{self as contract, entry, kept, question, take},
    },
};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn the_cache_keeps_its_contract() {
    contract::cache_store(&MemoryCache::new(1 << 20)).await;
}

#[tokio::test(start_paused = true)]
async fn rates_keep_their_contract() {
    contract::rate_store(&MemoryRates::new()).await;
}

#[tokio::test]
async fn names_of_calls_keep_their_contract() {
    contract::idempotency_store(&MemoryIdempotency::new(1 << 20)).await;
}

#[tokio::test]
async fn names_of_calls_are_bounded_in_bytes_and_the_newest_stay() {
    let names = MemoryIdempotency::new(64 << 10);
    let text: &'static str = String::leak("x".repeat(1_000));
    let day = Duration::from_secs(86_400);
    for n in 0..500u32 {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        let Begun::New(claim) = names.begin(&key, &[1; 32], day).await.expect("an answer") else {
            panic!("a new name");
        };
        names.finish(&key, claim, kept([1; 32], text), day);
    }
    let weight = names.weight();
    assert!((32 << 10..=64 << 10).contains(&weight), "{weight}");
    let mut last = [0; 32];
    last[..4].copy_from_slice(&499u32.to_be_bytes());
    let begun = names.begin(&last, &[1; 32], day).await;
    assert!(matches!(begun, Ok(Begun::Done(_))), "{begun:?}");
}

#[tokio::test]
async fn budgets_keep_their_contract() {
    let book = MemoryBudgets::new();
    for (account, budget) in [
        ("key:contract", "1/total"),
        ("tenant:contract", "0.5/total"),
        ("free:contract", "0/total"),
    ] {
        book.set(account, vec![budget.parse().expect("a budget")]);
    }
    contract::budgets(&book).await;
}

#[tokio::test]
async fn the_ledger_keeps_its_contract() {
    ledger_contract::ledger(&MemoryLedger::default()).await;
}

#[tokio::test]
async fn keys_keep_their_contract() {
    contract::key_store(&MemoryKeys::new()).await;
}

#[tokio::test]
async fn the_cache_is_bounded_in_bytes() {
    let cache = MemoryCache::new(64 << 10);
    let text: &'static str = String::leak("x".repeat(1_000));
    for n in 0..2_000u32 {
        let mut key = question(0);
        key.hash[..4].copy_from_slice(&n.to_be_bytes());
        cache.put(key, entry("p/m", text), Duration::from_secs(60));
    }
    let weight = cache.weight();
    assert!((32 << 10..=64 << 10).contains(&weight), "{weight}");
    cache.clear();
    assert_eq!(cache.weight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_time_is_over_is_given_up_when_it_is_asked_for() {
    let cache = MemoryCache::new(1 << 20);
    cache.put(question(0), entry("p/m", "old"), Duration::from_secs(60));
    sleep(Duration::from_secs(59)).await;
    assert!(cache.get(&question(0)).await.unwrap().is_some());
    sleep(Duration::from_secs(1)).await;
    assert!(cache.get(&question(0)).await.unwrap().is_none());
    assert_eq!(cache.weight(), 0);
}

async fn ask(rates: &MemoryRates, name: &str, quota: Quota, units: u64) -> RateDecision {
    let decision = rates.take(&[take(name, quota, units)]).await;
    decision.expect("an answer")
}

/// What remains after a take; `None` if it was refused.
fn room(decision: &RateDecision) -> Option<u64> {
    match decision {
        RateDecision::Taken(standings) => Some(standings[0].remaining),
        RateDecision::Refused { .. } => None,
    }
}

#[tokio::test(start_paused = true)]
async fn over_a_long_run_a_quota_is_used_in_full_and_never_exceeded() {
    let rates = MemoryRates::new();
    let quota = Quota::per_minute(7);
    let (start, mut taken) = (Instant::now(), 0u64);
    for _ in 0..5_000 {
        match ask(&rates, "k", quota, 1).await {
            RateDecision::Taken(_) => taken += 1,
            RateDecision::Refused { retry_after, .. } => {
                sleep(retry_after / 3 + Duration::from_millis(1)).await;
            }
        }
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        let allowed = 7.0 + 7.0 * minutes;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let taken = taken as f64;
        assert!(taken <= allowed + 1e-6, "{taken} of {allowed}");
        assert!(taken >= allowed - 8.0, "{taken} of {allowed}");
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_went_idle_are_forgotten_and_those_in_use_are_not() {
    let rates = MemoryRates::new();
    let quota = Quota::per_minute(10);
    for n in 0..100_000 {
        ask(&rates, &format!("user:{n}"), quota, 1).await;
        ask(&rates, "busy", quota, 0).await;
        if n % 100 == 0 {
            rates.adjust("busy", quota, Correction::at_once(1, 11));
            sleep(Duration::from_millis(100)).await;
        }
    }
    // A name is idle 6 s after its one take, in which 6 000 others come.
    assert!(rates.len() < 20_000, "{} names", rates.len());
    let decision = ask(&rates, "busy", quota, 1).await;
    assert!(matches!(decision, RateDecision::Refused { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_quota_may_change_while_it_is_used() {
    let rates = MemoryRates::new();
    let per_minute = Quota::per_minute(10);
    ask(&rates, "k", per_minute, 10).await;
    let wider = Quota::per_minute(25);
    let decision = ask(&rates, "k", wider, 15).await;
    assert_eq!(room(&decision), Some(0));
    let hourly = Quota {
        limit: 30,
        period: Duration::from_secs(3_600),
    };
    let decision = ask(&rates, "k", hourly, 5).await;
    assert_eq!(room(&decision), Some(0));
    let none = Quota::per_minute(0);
    let decision = ask(&rates, "k", none, 1).await;
    assert!(matches!(decision, RateDecision::Refused { .. }));
}

#[tokio::test]
async fn the_ledger_forgets_rows_but_not_what_they_cost() {
    let ledger = MemoryLedger::new(10);
    let day = Duration::from_secs(86_400);
    for n in 0..1_000u32 {
        ledger.record(row(&format!("req_{n}"), 1, 1, day * (n % 3)));
    }
    let rows = ledger.rows();
    assert_eq!(rows.len(), 10);
    assert_eq!(&*rows[9].request, "req_999");
    let spent = async |account, since| {
        let sum = ledger.spent(account, since, None).await;
        sum.expect("a sum")
    };
    for account in ["global", "key:k_1"] {
        let all = spent(account, SystemTime::UNIX_EPOCH).await;
        assert_eq!(all, Money::from_nanos(1_000));
        let midnight = rungs::store::Window::DAY.start(SystemTime::now() - day);
        assert_eq!(spent(account, midnight).await, Money::from_nanos(667));
    }
    assert_eq!(spent("key:k_2", SystemTime::UNIX_EPOCH).await, Money::ZERO);
}
