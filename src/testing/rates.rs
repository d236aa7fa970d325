#![expect(clippy::panic, reason = "a contract fails by a panic, as a test does")]

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::store::{Alone, Correction, Quota, RateDecision, RateStore, Take};

/// No wait for a correction to take effect is longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The limit of these tests: 10 a second.
const QUOTA: Quota = Quota {
    limit: 10,
    period: Duration::from_secs(1),
};

/// Asks `units` of the limit `name`.
#[must_use]
pub fn take(name: &str, quota: Quota, units: u64) -> Take<'_> {
    Take {
        name,
        quota,
        units,
        alone: Alone::default(),
    }
}

/// A quota can be taken at once, is exact, refills evenly, and takes corrections; of several limits all are taken from, or none.
///
/// # Panics
/// When the store breaks its contract.
pub async fn rate_store(store: &dyn RateStore) {
    bursts(store).await;
    refusals(store).await;
    several_at_once(store).await;
    corrections(store).await;
}

async fn ask(store: &dyn RateStore, name: &str, units: u64) -> RateDecision {
    let decision = store.take(&[take(name, QUOTA, units)]).await;
    decision.expect("the store answers")
}

/// What remains of `name` now.
async fn left(store: &dyn RateStore, name: &str) -> u64 {
    remaining(&ask(store, name, 0).await)
}

fn remaining(decision: &RateDecision) -> u64 {
    let (RateDecision::Taken(standings) | RateDecision::Refused { standings, .. }) = decision;
    standings[0].remaining
}

fn refused(decision: &RateDecision) -> Option<Duration> {
    match decision {
        RateDecision::Refused { retry_after, .. } => Some(*retry_after),
        RateDecision::Taken(_) => None,
    }
}

async fn bursts(store: &dyn RateStore) {
    assert_eq!(left(store, "burst").await, 10);
    let RateDecision::Taken(standings) = ask(store, "burst", 4).await else {
        panic!("there is room");
    };
    assert!((6..=7).contains(&standings[0].remaining));
    let reset = standings[0].reset;
    assert!(
        reset <= QUOTA.period * 4 / 10 && reset > QUOTA.period / 10,
        "{reset:?}"
    );
    let all = ask(store, "burst", 6).await;
    assert!(
        refused(&all).is_none() && remaining(&all) <= 3,
        "all of it at once"
    );
    let decision = ask(store, "burst", 9).await;
    let wait = refused(&decision).expect("nothing is left");
    assert!(
        wait <= QUOTA.period * 9 / 10 && wait > QUOTA.period / 5,
        "{wait:?}"
    );
    let other = ask(store, "other", 10).await;
    assert!(refused(&other).is_none(), "names do not share a quota");
    let before = Instant::now();
    sleep(wait + Duration::from_millis(2)).await;
    assert!(
        refused(&ask(store, "burst", 9).await).is_none(),
        "the same request succeeds after retry_after ({wait:?}, waited {:?})",
        before.elapsed()
    );
}

async fn refusals(store: &dyn RateStore) {
    let decision = ask(store, "fresh", 11).await;
    let wait = refused(&decision).expect("more than the quota is always refused");
    assert!(wait <= QUOTA.period);
    assert_eq!(left(store, "fresh").await, 10, "a refusal takes nothing");
    let none = Quota { limit: 0, ..QUOTA };
    let decision = store.take(&[take("none", none, 1)]).await;
    let decision = decision.expect("the store answers");
    assert_eq!(refused(&decision), Some(QUOTA.period));
}

async fn several_at_once(store: &dyn RateStore) {
    let both = [take("first", QUOTA, 4), take("second", QUOTA, 10)];
    let decision = store.take(&both).await.expect("the store answers");
    assert!(refused(&decision).is_none(), "both have room");
    let decision = store.take(&both).await.expect("the store answers");
    let RateDecision::Refused {
        limit, standings, ..
    } = decision
    else {
        panic!("the second has none left");
    };
    assert_eq!((limit, standings.len()), (1, 2));
    assert!(
        standings[0].remaining >= 6,
        "none is taken: {}",
        standings[0].remaining
    );
}

async fn corrections(store: &dyn RateStore) {
    ask(store, "fix", 10).await;
    store.adjust("fix", QUOTA, Correction::at_once(10, 0));
    until(async || left(store, "fix").await == 10, "a refund").await;
    store.adjust("fix", QUOTA, Correction::at_once(100, 0));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(left(store, "fix").await, 10, "never more than the quota");

    store.adjust("fix", QUOTA, Correction::at_once(10, 35));
    until(async || left(store, "fix").await == 0, "overuse").await;
    let wait = refused(&ask(store, "fix", 10).await).expect("overuse must be worked off");
    assert!(wait > QUOTA.period, "{wait:?}");
    store.adjust("new", QUOTA, Correction::at_once(0, 10));
    until(
        async || left(store, "new").await < 9,
        "a correction may come first",
    )
    .await;
}

async fn until(done: impl AsyncFn() -> bool, what: &str) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < PATIENCE, "no effect: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}
