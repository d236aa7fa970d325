//! The stores in Redis, on servers of their own: each contract, and each way in which a Redis can fail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use proptest::prelude::*;
use rungs::{
    ErrorKind,
    store::{
        Alone, Begun, CacheStore, ConversationStore, Correction, Hot, IdempotencyStore, Quota,
        RateDecision, RateStore, Take,
        memory::{MemoryCache, MemoryConversations, MemoryIdempotency, MemoryRates, MemoryTodos},
        redis::{Redis, RedisCache, RedisConfig, RedisHot, RedisIdempotency, RedisRates, RedisUrl},
    },
    testing::{
        servers::RedisServer,
        store_contract::{self as contract, entry, kept, question, take},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::sleep,
};

/// Patience for a busy machine, where the time limit is not what is tested.
fn patient() -> RedisConfig {
    let mut config = RedisConfig::default();
    config.patience = Duration::from_secs(2);
    config
}

async fn open(server: &RedisServer, config: RedisConfig) -> Arc<Redis> {
    let url: RedisUrl = server.url().parse().expect("a URL");
    Arc::new(Redis::open(&url, config).await.expect("a fit server"))
}

fn cache(redis: &Arc<Redis>) -> RedisCache {
    RedisCache::new(redis.clone(), Arc::new(MemoryCache::new(1 << 20)), 1 << 16)
}

fn names(redis: &Arc<Redis>) -> RedisIdempotency {
    RedisIdempotency::new(redis.clone(), MemoryIdempotency::new(1 << 20))
}

async fn until(what: &str, done: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn rates_keep_their_contract() {
    let server = RedisServer::start().unwrap();
    let redis = open(&server, patient()).await;
    contract::rate_store(&RedisRates::new(redis, 1)).await;
}

#[tokio::test]
async fn the_cache_keeps_its_contract() {
    let server = RedisServer::start().unwrap();
    let redis = open(&server, patient()).await;
    contract::cache_store(&cache(&redis)).await;
}

#[tokio::test]
async fn copies_of_conversations_keep_their_contract_and_survive_a_flush() {
    let server = RedisServer::start().unwrap();
    let hot = Arc::new(RedisHot::new(open(&server, patient()).await));
    contract::hot_store(&*hot).await;
    let hour = Duration::from_secs(3600);
    let cold = Arc::new(MemoryConversations::new(100));
    let store = Hot::new(cold, hot.clone(), hour);
    contract::conversation_store(&store).await;
    let todos = Hot::new(Arc::new(MemoryTodos::new(100)), hot, hour);
    contract::todo_store(&todos).await;

    let key = contract::conversation("acme", "order-7");
    for name in [
        "conv:messages:{rival/order-7}",
        "conv:summary:{rival/order-7}",
        "todo:list:{rival/c}",
    ] {
        let left: u64 = server.command(&["TTL", name]).unwrap().parse().unwrap();
        assert!((3500..=3600).contains(&left), "{name}: {left}");
    }
    server.flush().unwrap();
    let memory = store.load(&key).await.unwrap().expect("nothing is lost");
    assert_eq!(memory.count, 2);
    let copied = server.command(&["EXISTS", "conv:messages:{acme/order-7}"]);
    assert_eq!(copied.unwrap(), "1", "it is at hand again");
}

#[tokio::test]
async fn names_of_calls_keep_their_contract() {
    let server = RedisServer::start().unwrap();
    let redis = open(&server, patient()).await;
    contract::idempotency_store(&names(&redis)).await;
}

/// Has a server be a cluster of one; its URL.
fn of_cluster(server: &RedisServer) -> RedisUrl {
    server
        .command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])
        .expect("it takes the slots");
    let url = server.url().replace("redis://", "redis+cluster://");
    url.trim_end_matches('/').parse().expect("a URL")
}

#[tokio::test]
async fn a_cluster_keeps_the_contracts() {
    let server = RedisServer::with("cluster-enabled yes").unwrap();
    let url = of_cluster(&server);
    let redis = Arc::new(Redis::open(&url, patient()).await.unwrap());
    until("the cluster is up", async || redis.is_up()).await;
    contract::rate_store(&RedisRates::new(redis.clone(), 1)).await;
    contract::cache_store(&cache(&redis)).await;
    contract::idempotency_store(&names(&redis)).await;
    contract::hot_store(&RedisHot::new(redis)).await;
}

#[tokio::test]
async fn a_master_is_found_through_its_sentinel() {
    let master = RedisServer::start().unwrap();
    let port = master.url();
    let port = port.rsplit(':').next().unwrap().trim_end_matches('/');
    let sentinel =
        RedisServer::sentinel(&format!("sentinel monitor main 127.0.0.1 {port} 1")).unwrap();
    let at = sentinel.url();
    let at = at.trim_start_matches("redis://").trim_end_matches('/');
    let url: RedisUrl = format!("redis+sentinel://{at}/main").parse().unwrap();
    let redis = Arc::new(Redis::open(&url, patient()).await.unwrap());
    assert!(redis.is_up());
    contract::rate_store(&RedisRates::new(redis, 1)).await;
    assert_ne!(master.command(&["DBSIZE"]).unwrap(), "0");
}

const FIVE: Quota = Quota {
    limit: 5,
    period: Duration::from_secs(600),
};

async fn granted(rates: &RedisRates, name: &str, alone: Alone) -> bool {
    let ask = Take {
        alone,
        ..take(name, FIVE, 1)
    };
    matches!(rates.take(&[ask]).await, Ok(RateDecision::Taken(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r27_four_stores_grant_what_one_grants() {
    let server = RedisServer::start().unwrap();
    let quota = Quota {
        limit: 500,
        period: Duration::from_secs(3600),
    };
    for (name, stores) in [("one", 1), ("four", 4)] {
        let mut all = Vec::new();
        for _ in 0..stores {
            all.push(RedisRates::new(open(&server, patient()).await, stores));
        }
        let asks = (0..800).map(|n| {
            let rates = &all[n % all.len()];
            async move {
                let decision = rates.take(&[take(name, quota, 1)]).await.unwrap();
                matches!(decision, RateDecision::Taken(_))
            }
        });
        let taken = join_all(asks).await.into_iter().filter(|t| *t).count();
        assert_eq!(taken, 500, "{stores} stores");
    }
}

#[tokio::test]
async fn r16_a_frozen_redis_costs_a_few_short_waits_and_comes_back_by_itself() {
    let server = RedisServer::start().unwrap();
    let redis = open(&server, RedisConfig::default()).await;
    let (rates, cache) = (RedisRates::new(redis.clone(), 1), cache(&redis));
    until("it works", async || {
        granted(&rates, "warm", Alone::Share).await
    })
    .await;
    server.freeze().unwrap();
    let mut waits = Vec::new();
    for n in 0..200u8 {
        let start = Instant::now();
        assert!(cache.get(&question(n)).await.unwrap().is_none());
        waits.push(start.elapsed());
    }
    let long = waits.iter().filter(|w| **w > Duration::from_millis(2));
    assert!(long.count() <= 5, "{waits:?}");
    assert!(
        waits.iter().all(|w| *w < Duration::from_millis(150)),
        "{waits:?}"
    );
    assert!(!redis.is_up());
    server.thaw().unwrap();
    until("it is back", async || redis.is_up()).await;
    cache.put(question(9), entry("p/m", "x"), Duration::from_secs(60));
    redis.flush().await;
    let other = RedisCache::new(redis, Arc::new(MemoryCache::new(1 << 20)), 1 << 16);
    until("it is used", async || {
        other.get(&question(9)).await.unwrap().is_some()
    })
    .await;
}

/// Passes on what comes, up to 64 KiB at once, and waits `delay` before each.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        sleep(delay).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}

/// A way to `server` on which each 64 KiB take `there`, and each answer takes `back`; its URL.
async fn slow_way(server: &RedisServer, there: Duration, back: Duration) -> String {
    let address = server.url();
    let address = address.trim_start_matches("redis://").trim_end_matches('/');
    let (address, listener) = (
        address.to_owned(),
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
    );
    let url = format!("redis://{}/", listener.local_addr().expect("an address"));
    let pass_on = async move {
        let mut ways = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&address).await.expect("the server");
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            ways.spawn(pass(from_near, to_far, there));
            ways.spawn(pass(from_far, to_near, back));
        }
    };
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    drop(tokio::spawn(pass_on));
    url
}

#[tokio::test]
async fn r16_a_slow_redis_is_left_alone_and_not_tried_on_calls() {
    let server = RedisServer::start().unwrap();
    let url = slow_way(&server, Duration::ZERO, Duration::from_millis(150)).await;
    let redis = Redis::open(&url.parse().unwrap(), RedisConfig::default()).await;
    let redis = Arc::new(redis.unwrap());
    let cache = cache(&redis);
    let (start, mut long) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert!(cache.get(&question(1)).await.unwrap().is_none());
        long += u32::from(asked.elapsed() > Duration::from_millis(10));
        sleep(Duration::from_millis(2)).await;
    }
    assert!(!redis.is_up());
    assert!(long <= 5, "{long} waits");
}

#[tokio::test]
async fn much_that_is_large_goes_over_a_slow_way_too() {
    const ENTRIES: u8 = 40;
    let server = RedisServer::start().unwrap();
    // All of it takes a second and more.
    let url = slow_way(&server, Duration::from_millis(4), Duration::ZERO).await;
    let redis = Redis::open(&url.parse().unwrap(), patient()).await;
    let redis = Arc::new(redis.unwrap());
    let near = Arc::new(MemoryCache::new(1 << 20));
    let cache = RedisCache::new(redis.clone(), near, 1 << 20);
    let large: &'static str = String::leak("x".repeat(400 << 10));
    for n in 0..ENTRIES {
        cache.put(question(n), entry("p/m", large), Duration::from_secs(60));
    }
    until("all of it is there", async || {
        server.command(&["DBSIZE"]).unwrap() == ENTRIES.to_string() || !redis.is_up()
    })
    .await;
    assert!(redis.is_up());
}

/// So long that nothing comes back within a test.
const AGE: Duration = Duration::from_secs(1_000_000_000);

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Each step: which two limits, how much of each, and a correction of the first.
    #[test]
    fn redis_decides_as_memory_does(
        steps in prop::collection::vec((0..3usize, 0..3usize, 0..60u64, 0..60u64, -40..40i64), 1..40),
    ) {
        let limits = [("a", 100), ("b", 250), ("c", 7)];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = RedisServer::start().unwrap();
            let redis = open(&server, patient()).await;
            let (there, here) = (RedisRates::new(redis.clone(), 1), MemoryRates::new());
            for (one, other, units, more, delta) in steps {
                let of = |n: usize, units| {
                    let (name, limit) = limits[n];
                    take(name, Quota { limit, period: AGE }, units)
                };
                let takes = [of(one, units), of(other, more)];
                let takes = if one == other { &takes[..1] } else { &takes[..] };
                let (far, near) = (there.take(takes).await.unwrap(), here.take(takes).await.unwrap());
                let outline = |decision: &RateDecision| match decision {
                    RateDecision::Taken(s) => (None, s.iter().map(|s| s.remaining).collect::<Vec<_>>()),
                    RateDecision::Refused { limit, standings, .. } => {
                        (Some(*limit), standings.iter().map(|s| s.remaining).collect())
                    }
                };
                prop_assert_eq!(outline(&far), outline(&near));
                let taken = limits[one].1.min(40);
                for rates in [&there as &dyn RateStore, &here] {
                    rates.adjust(limits[one].0, takes[0].quota, Correction::at_once(taken, taken.saturating_add_signed(delta)));
                }
                redis.flush().await;
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn periods_that_cannot_be_counted_exactly_are_refused() {
    let server = RedisServer::start().unwrap();
    let rates = RedisRates::new(open(&server, patient()).await, 1);
    for quota in [
        Quota {
            limit: 1,
            period: AGE * 10_000,
        },
        Quota {
            limit: 1,
            period: Duration::from_nanos(1),
        },
    ] {
        let error = rates.take(&[take("k", quota, 1)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{quota:?}");
    }
}

#[tokio::test]
async fn a_limit_above_what_counts_exactly_is_the_largest_that_does() {
    const MOST: u64 = 37_529_996_894;
    let server = RedisServer::start().unwrap();
    let redis = open(&server, patient()).await;
    let rates = RedisRates::new(redis.clone(), 1);
    let remaining = async |quota, units| {
        let decision = rates.take(&[take("k", quota, units)]).await.unwrap();
        let RateDecision::Taken(standings) = decision else {
            panic!("it has room: {decision:?}");
        };
        standings[0].remaining
    };
    for limit in [MOST, MOST + 1, u64::MAX / 2] {
        let quota = Quota::per_minute(limit);
        assert_eq!(remaining(quota, 1).await, MOST - 1, "{limit}");
        server.flush().unwrap();
        // As much as may be asked is all that there is, and what of it was not used is given back.
        assert_eq!(remaining(quota, limit).await, 0, "{limit}");
        rates.adjust("k", quota, Correction::at_once(limit, 1_000));
        redis.flush().await;
        let back = remaining(quota, 0).await;
        assert!(back >= MOST - 1_000, "{limit}: {back}");
        server.flush().unwrap();
    }
}

#[tokio::test]
async fn without_redis_a_limit_is_shared_out_or_denied_and_never_multiplied() {
    let mut server = RedisServer::start().unwrap();
    let redis = open(&server, patient()).await;
    let rates = RedisRates::new(redis.clone(), 2);
    for _ in 0..4 {
        assert!(granted(&rates, "used", Alone::Share).await);
    }
    // Many connections, all of which the death makes worthless.
    let asks = (0..64).map(|_| granted(&rates, "many", Alone::Deny));
    join_all(asks).await;
    server.kill().unwrap();
    // Both shares together are the quota: 2 of 5 each, rounded down.
    let mut fresh = 0;
    for _ in 0..20 {
        fresh += u32::from(granted(&rates, "fresh", Alone::Share).await);
    }
    assert_eq!(fresh, 2);
    assert!(!redis.is_up());
    assert!(
        !granted(&rates, "used", Alone::Share).await,
        "what this process took before is gone from its share"
    );
    let ask = [Take {
        alone: Alone::Deny,
        ..take("denied", FIVE, 1)
    }];
    let error = rates.take(&ask).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.get_retry_after().is_some());

    server.restart().unwrap();
    until("it is back", async || redis.is_up()).await;
    let denying = Take {
        alone: Alone::Deny,
        ..take("again", FIVE, 1)
    };
    let asks = (0..64).map(|_| {
        let (rates, ask) = (&rates, [denying]);
        async move { rates.take(&ask).await }
    });
    let (mut again, mut errors) = (0, 0);
    for decision in join_all(asks).await {
        again += u32::from(matches!(decision, Ok(RateDecision::Taken(_))));
        errors += u32::from(decision.is_err());
    }
    assert_eq!((again, errors), (5, 0), "nothing old is used any more");
}

#[tokio::test]
async fn what_was_used_is_gone_from_a_share_that_was_less_than_the_estimate() {
    let tokens = Quota {
        limit: 100_000,
        period: Duration::from_secs(10_000),
    };
    let mut server = RedisServer::start().unwrap();
    let rates = RedisRates::new(open(&server, patient()).await, 4);
    let is_taken = async |name, units| {
        let decision = rates.take(&[take(name, tokens, units)]).await.unwrap();
        matches!(decision, RateDecision::Taken(_))
    };
    // 20,000 are used, of a share of 25,000.
    assert!(is_taken("before", 100_000).await);
    rates.adjust("before", tokens, Correction::at_once(100_000, 20_000));
    server.kill().unwrap();
    assert!(is_taken("meanwhile", 100_000).await);
    rates.adjust("meanwhile", tokens, Correction::at_once(100_000, 20_000));
    for name in ["before", "meanwhile"] {
        assert!(!is_taken(name, 6_000).await, "{name}: it was used");
        assert!(is_taken(name, 4_000).await, "{name}: it was not used");
    }
    // What a call uses beyond its estimate is gone whole.
    assert!(is_taken("more", 5_000).await);
    rates.adjust("more", tokens, Correction::at_once(5_000, 25_000));
    assert!(!is_taken("more", 1_000).await);
}

#[tokio::test]
async fn a_share_that_is_nearly_gone_remembers_what_still_fits() {
    let tokens = Quota {
        limit: 100,
        period: Duration::from_secs(10_000),
    };
    let mut server = RedisServer::start().unwrap();
    let rates = RedisRates::new(open(&server, patient()).await, 4);
    for units in [1, 30] {
        let decision = rates.take(&[take("k", tokens, units)]).await.unwrap();
        assert!(matches!(decision, RateDecision::Taken(_)));
    }
    server.kill().unwrap();
    let decision = rates.take(&[take("k", tokens, 1)]).await.unwrap();
    assert!(
        matches!(decision, RateDecision::Refused { .. }),
        "{decision:?}"
    );
}

/// Lets time pass for this process; the server's stands still.
async fn pass_by(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// A limit whose fourth part is 250, and fills in 1,000 seconds.
const THOUSAND: Quota = Quota {
    limit: 1_000,
    period: Duration::from_secs(1_000),
};

async fn taken(rates: &dyn RateStore, quota: Quota, units: u64) -> bool {
    let decision = rates
        .take(&[take("k", quota, units)])
        .await
        .expect("it answers");
    matches!(decision, RateDecision::Taken(_))
}

async fn remaining(rates: &dyn RateStore, quota: Quota) -> u64 {
    let decision = rates
        .take(&[take("k", quota, 0)])
        .await
        .expect("it answers");
    let (RateDecision::Taken(standings) | RateDecision::Refused { standings, .. }) = decision;
    standings[0].remaining
}

#[tokio::test]
async fn calls_that_give_back_empty_no_share_that_others_have_used() {
    let mut server = RedisServer::start().unwrap();
    let rates = RedisRates::new(open(&server, patient()).await, 4);
    for _ in 0..5 {
        assert!(taken(&rates, THOUSAND, 200).await);
    }
    for _ in 0..5 {
        rates.adjust("k", THOUSAND, Correction::at_once(200, 40));
    }
    server.kill().unwrap();
    let left = remaining(&rates, THOUSAND).await;
    assert!((50..=51).contains(&left), "200 of 250 are used: {left}");
}

#[tokio::test]
async fn a_share_that_is_exceeded_is_empty_and_no_more_once_redis_is_away() {
    let mut server = RedisServer::start().unwrap();
    let rates = RedisRates::new(open(&server, patient()).await, 4);
    assert!(taken(&rates, THOUSAND, 250).await);
    assert!(taken(&rates, THOUSAND, 750).await);
    server.kill().unwrap();
    assert_eq!(remaining(&rates, THOUSAND).await, 0);
    pass_by(100).await;
    let left = remaining(&rates, THOUSAND).await;
    assert!((25..=26).contains(&left), "time gives it back: {left}");
}

#[tokio::test]
async fn a_slow_call_gives_back_to_a_share_what_time_has_not() {
    let mut server = RedisServer::start().unwrap();
    let rates = RedisRates::new(open(&server, patient()).await, 4);
    assert!(taken(&rates, THOUSAND, 200).await);
    pass_by(200).await;
    // Of the whole limit time has given back all 200, of the share 50.
    let after = Duration::from_secs(200);
    rates.adjust(
        "k",
        THOUSAND,
        Correction {
            taken: 200,
            used: 0,
            after,
        },
    );
    server.kill().unwrap();
    assert_eq!(remaining(&rates, THOUSAND).await, 250);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Each call: when it begins and how long it takes, in seconds, its estimate, and how much of that is used.
    #[test]
    fn a_share_has_no_more_than_what_calls_have_left_of_it(
        calls in prop::collection::vec((0..900_u64, 0..900_u64, 1..400_u64, 0..=100_u64), 1..20),
        end in 0..1_500_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut server = RedisServer::start().unwrap();
            let rates = RedisRates::new(open(&server, patient()).await, 4);
            let (truth, part) = (MemoryRates::new(), Quota { limit: 250, ..THOUSAND });
            let mut events: Vec<_> = calls.iter().enumerate().flat_map(|(n, (begins, lasts, ..))| {
                [(*begins, n, false), (begins + lasts, n, true)]
            }).filter(|(at, ..)| *at <= end).collect();
            events.sort_by_key(|(at, n, ends)| (*at, *ends, *n));
            let (mut now, mut begun) = (0, vec![false; calls.len()]);
            for (at, n, ends) in events {
                pass_by(at - now).await;
                now = at;
                let (_, lasts, estimate, percent) = calls[n];
                let used = estimate * percent / 100;
                if !ends {
                    begun[n] = taken(&rates, THOUSAND, estimate).await;
                    let used = if begun[n] { used.min(part.limit) } else { 0 };
                    truth.adjust("k", part, Correction::at_once(0, used));
                } else if begun[n] {
                    let after = Duration::from_secs(lasts);
                    rates.adjust("k", THOUSAND, Correction { taken: estimate, used, after });
                }
            }
            pass_by(end - now).await;
            server.kill().unwrap();
            let (has, may) = (remaining(&rates, THOUSAND).await, remaining(&truth, part).await);
            // What time has given back is deducted in whole units.
            prop_assert!(has <= may + calls.len() as u64, "{has} of {may}");
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_was_taken_without_redis_is_not_given_back_to_it() {
    let mut server = RedisServer::start().unwrap();
    let redis = open(&server, patient()).await;
    let (rates, other) = (
        RedisRates::new(redis.clone(), 1),
        RedisRates::new(redis.clone(), 1),
    );
    server.kill().unwrap();
    for _ in 0..3 {
        assert!(granted(&rates, "k", Alone::Share).await);
    }
    server.restart().unwrap();
    until("it is back", async || redis.is_up()).await;
    for _ in 0..5 {
        assert!(granted(&other, "k", Alone::Deny).await);
    }
    let giving_back = async || {
        rates.adjust("k", FIVE, Correction::at_once(1, 0));
        redis.flush().await;
        granted(&other, "k", Alone::Deny).await
    };
    for _ in 0..3 {
        assert!(!giving_back().await, "the others have taken all of it");
    }
    // What was taken there is given back there.
    assert!(giving_back().await);
}

#[tokio::test]
async fn what_was_used_while_redis_was_away_is_counted_when_it_is_back() {
    let mut server = RedisServer::start().unwrap();
    let redis = open(&server, patient()).await;
    let (rates, other) = (
        RedisRates::new(redis.clone(), 1),
        RedisRates::new(redis.clone(), 1),
    );
    assert!(granted(&rates, "k", Alone::Deny).await);
    server.kill().unwrap();
    // Not all notice at once that it has gone.
    rates.adjust("k", FIVE, Correction::at_once(1, 2));
    until("it is away", async || {
        !granted(&rates, "other", Alone::Deny).await && !redis.is_up()
    })
    .await;
    rates.adjust("k", FIVE, Correction::at_once(1, 3));
    server.restart().unwrap();
    until("it is back", async || redis.is_up()).await;
    // The server began anew: of what it knew before nothing is left, of what it was not told all comes.
    let ask = [take("k", FIVE, 3)];
    let asked = rates.take(&ask).await.unwrap();
    assert!(
        matches!(asked, RateDecision::Refused { .. }),
        "3 are used: {asked:?}"
    );
    let mut taken = 0;
    for _ in 0..5 {
        taken += u32::from(granted(&other, "k", Alone::Deny).await);
    }
    assert_eq!(taken, 2, "it is told once, and to all");
}

#[tokio::test]
async fn a_flush_and_older_data_start_limits_anew_and_break_nothing() {
    let mut server = RedisServer::start().unwrap();
    let redis = open(&server, patient()).await;
    let rates = RedisRates::new(redis.clone(), 1);
    let spend = async || {
        let mut taken = 0;
        for _ in 0..10 {
            taken += u32::from(granted(&rates, "k", Alone::Deny).await);
        }
        taken
    };
    assert!(granted(&rates, "k", Alone::Deny).await);
    let early = server.save().unwrap();
    assert_eq!(spend().await, 4);
    server.flush().unwrap();
    assert_eq!(spend().await, 5);
    server.restart_from(&early).unwrap();
    until("it is back", async || {
        granted(&rates, "else", Alone::Deny).await
    })
    .await;
    assert_eq!(spend().await, 4);
}

#[tokio::test]
async fn what_one_process_keeps_another_finds() {
    let server = RedisServer::start().unwrap();
    let (here, there) = (
        open(&server, patient()).await,
        open(&server, patient()).await,
    );
    let (near, far) = (cache(&here), cache(&there));
    near.put(question(1), entry("p/m", "42"), Duration::from_millis(400));
    here.flush().await;
    let name = format!("llm:cache:m:{}", "01".repeat(32));
    assert_eq!(server.command(&["EXISTS", &name]).unwrap(), "1");
    let found = far.get(&question(1)).await.unwrap().expect("it is there");
    assert_eq!(
        (found.deployment.as_str(), &*found.answer.data[0]),
        ("p/m", &b"42"[..])
    );
    sleep(Duration::from_millis(500)).await;
    assert!(
        far.get(&question(1)).await.unwrap().is_none(),
        "not longer than it was to be"
    );

    near.put(
        question(2),
        entry("p/m", String::leak("x".repeat(1 << 17))),
        Duration::from_secs(9),
    );
    here.flush().await;
    assert!(far.get(&question(2)).await.unwrap().is_none(), "too large");
    let name = format!("llm:cache:m:{}", "03".repeat(32));
    server.command(&["SET", &name, "\u{1}nonsense"]).unwrap();
    assert!(
        far.get(&question(3)).await.unwrap().is_none(),
        "unreadable is a miss"
    );
}

#[tokio::test]
async fn what_one_process_asks_for_anew_others_find_within_half_a_minute() {
    let server = RedisServer::start().unwrap();
    let (here, there) = (
        open(&server, patient()).await,
        open(&server, patient()).await,
    );
    let (near, far) = (cache(&here), cache(&there));
    let keep = async |text| {
        near.put(question(1), entry("p/m", text), Duration::from_secs(3600));
        here.flush().await;
    };
    let found = async || {
        far.get(&question(1))
            .await
            .unwrap()
            .map(|e| e.answer.data[0].clone())
    };
    let large = entry("p/m", String::leak("x".repeat(1 << 17)));
    far.put(question(2), large, Duration::from_secs(3600));
    for round in 0..2 {
        keep("old").await;
        // Found behind, or kept here before.
        match round {
            0 => assert_eq!(found().await.unwrap(), "old"),
            _ => far.put(question(1), entry("p/m", "old"), Duration::from_secs(3600)),
        }
        there.flush().await;
        keep("new").await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        tokio::time::resume();
        assert_eq!(found().await.unwrap(), "new", "round {round}");
    }
    let large = far.get(&question(2)).await.unwrap();
    assert!(large.is_some(), "what Redis does not have stays");
}

async fn stands(server: &RedisServer, name: u8) -> bool {
    let name = format!("llm:call:{}", format!("{name:02x}").repeat(32));
    server.command(&["EXISTS", &name]).expect("an answer") == "1"
}

#[tokio::test]
async fn a_claim_that_was_confirmed_too_late_is_taken_back_with_its_call() {
    let server = RedisServer::start().unwrap();
    let mut hasty = patient();
    hasty.patience = Duration::from_millis(300);
    let redis = open(&server, hasty).await;
    let names = names(&redis);
    let long = Duration::from_secs(5);
    // The script is known there.
    names.begin(&[1; 32], &[7; 32], long).await.unwrap();
    server.freeze().unwrap();
    let Begun::New(claim) = names.begin(&[2; 32], &[7; 32], long).await.unwrap() else {
        panic!("it is free");
    };
    server.thaw().unwrap();
    until("it was asked for", async || stands(&server, 2).await).await;
    names.abandon(&[2; 32], claim, None);
    until("it is taken back", async || !stands(&server, 2).await).await;
    assert!(stands(&server, 1).await);
}

#[tokio::test]
async fn who_leaves_while_a_name_is_claimed_leaves_no_claim() {
    let server = RedisServer::start().unwrap();
    let url = slow_way(&server, Duration::ZERO, Duration::from_millis(200)).await;
    let redis = Arc::new(Redis::open(&url.parse().unwrap(), patient()).await.unwrap());
    let names = names(&redis);
    tokio::select! {
        () = until("it is claimed", async || stands(&server, 1).await) => {}
        begun = names.begin(&[1; 32], &[7; 32], Duration::from_secs(5)) => panic!("{begun:?}"),
    }
    until("it is taken back", async || !stands(&server, 1).await).await;
}

#[tokio::test]
async fn a_call_is_carried_out_in_one_process() {
    let server = RedisServer::start().unwrap();
    let (here, there) = (
        open(&server, patient()).await,
        open(&server, patient()).await,
    );
    let (one, two) = (names(&here), names(&there));
    let (key, question, long) = ([1; 32], [7; 32], Duration::from_secs(5));
    let Begun::New(claim) = one.begin(&key, &question, long).await.unwrap() else {
        panic!("it is free");
    };
    let short = Duration::from_millis(100);
    assert!(matches!(
        two.begin(&key, &question, short).await,
        Ok(Begun::Busy)
    ));
    assert!(matches!(
        two.begin(&key, &[8; 32], long).await,
        Ok(Begun::Different)
    ));
    let waiting = two.begin(&key, &question, long);
    let finishing = async {
        sleep(short).await;
        one.finish(&key, claim, kept(question, "42"), long);
    };
    let (begun, ()) = futures_util::future::join(waiting, finishing).await;
    assert!(matches!(begun, Ok(Begun::Done(_))), "{begun:?}");

    // A process that dies leaves its claims to expire.
    let Begun::New(_) = one.begin(&[2; 32], &question, long).await.unwrap() else {
        panic!("it is free");
    };
    let left = server.command(&["PTTL", &format!("llm:call:{}", "02".repeat(32))]);
    let left: u64 = left.unwrap().parse().unwrap();
    assert!((1..=15_000).contains(&left), "{left}");
}

#[tokio::test]
async fn however_many_claims_there_are_they_last_as_long_as_their_process() {
    let server = RedisServer::start().unwrap();
    let names = names(&open(&server, patient()).await);
    let key = |n: u8| [n; 32];
    for n in 0..200 {
        let begun = names.begin(&key(n), &[1; 32], Duration::ZERO).await;
        assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
    }
    sleep(Duration::from_secs(4)).await;
    for n in [0, 100, 199_u8] {
        let key = format!("llm:call:{}", format!("{n:02x}").repeat(32));
        until("it is renewed", async || {
            let left = server.command(&["PTTL", &key]).unwrap();
            left.parse::<u64>().unwrap() > 12_000
        })
        .await;
    }
}

#[tokio::test]
async fn a_redis_that_will_not_do_is_named_at_the_start() {
    for (configuration, says) in [
        ("rename-command EVAL \"\"", "does not run scripts"),
        ("rename-command EVALSHA \"\"", "does not run scripts"),
        (
            "maxmemory 100mb\nmaxmemory-policy allkeys-lru",
            "maxmemory-policy allkeys-lru",
        ),
    ] {
        let server = RedisServer::with(configuration).unwrap();
        let url: RedisUrl = server.url().parse().unwrap();
        let error = Redis::open(&url, patient()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{configuration}");
        assert!(error.message().contains(says), "{error}");
        if configuration.starts_with("maxmemory") {
            let mut accepting = patient();
            accepting.may_evict = true;
            assert!(Redis::open(&url, accepting).await.unwrap().is_up());
        }
    }
    let cluster =
        RedisServer::with("cluster-enabled yes\nmaxmemory 100mb\nmaxmemory-policy allkeys-lru");
    let cluster = cluster.unwrap();
    let url = of_cluster(&cluster);
    // Until its slots are served it is away.
    until("an evicting node of a cluster is named", async || {
        let error = Redis::open(&url, patient()).await.err();
        error.is_some_and(|error| error.message().contains("maxmemory-policy allkeys-lru"))
    })
    .await;
    let unbounded = RedisServer::with("maxmemory-policy allkeys-lru").unwrap();
    assert!(open(&unbounded, patient()).await.is_up(), "never full");
}

#[tokio::test]
async fn a_node_that_does_not_tell_clears_no_other_that_evicts() {
    let silent = RedisServer::with("cluster-enabled yes").unwrap();
    let evicting =
        RedisServer::with("cluster-enabled yes\nmaxmemory 100mb\nmaxmemory-policy allkeys-lru");
    let evicting = evicting.unwrap();
    for (node, first, last) in [(&silent, "0", "8191"), (&evicting, "8192", "16383")] {
        node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last])
            .unwrap();
    }
    let address = evicting.url();
    let address = address.trim_start_matches("redis://").trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').unwrap();
    silent.command(&["CLUSTER", "MEET", host, port]).unwrap();
    until("they are one", async || {
        [&silent, &evicting].iter().all(|node| {
            let info = node.command(&["CLUSTER", "INFO"]).unwrap();
            info.contains("cluster_state:ok") && info.contains("cluster_size:2")
        })
    })
    .await;
    silent
        .command(&["ACL", "SETUSER", "default", "-info"])
        .unwrap();
    let url = silent.url().replace("redis://", "redis+cluster://");
    let url: RedisUrl = url.trim_end_matches('/').parse().unwrap();
    let error = Redis::open(&url, patient()).await.unwrap_err();
    assert!(
        error.message().contains("maxmemory-policy allkeys-lru"),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_redis_is_away_and_not_wrong() {
    let server = RedisServer::with("maxmemory 3mb\nmaxmemory-policy noeviction").unwrap();
    let redis = open(&server, patient()).await;
    let rates = RedisRates::new(redis.clone(), 1);
    assert!(granted(&rates, "k", Alone::Deny).await);
    server
        .command(&[
            "EVAL",
            "for i=1,100 do redis.call('SET', 'fill:' .. i, string.rep('x', 100000)) end return 1",
            "0",
        ])
        .unwrap();
    for _ in 0..5 {
        assert!(!granted(&rates, "k", Alone::Deny).await);
    }
    assert!(!redis.is_up());
    server.flush().unwrap();
    until("it is back", async || redis.is_up()).await;
    assert!(granted(&rates, "k", Alone::Deny).await);
}

#[tokio::test]
async fn one_that_is_not_there_yet_is_used_when_it_comes() {
    let mut server = RedisServer::start().unwrap();
    server.kill().unwrap();
    let start = Instant::now();
    let redis = open(&server, RedisConfig::default()).await;
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(!redis.is_up());
    server.restart().unwrap();
    until("it is there", async || redis.is_up()).await;
}

#[test]
fn urls_are_understood_and_passwords_not_shown() {
    for (url, shown) in [
        ("redis://127.0.0.1/", "redis://127.0.0.1/"),
        ("rediss://u:p%40ss@host:1234/3", "rediss://host:1234/3"),
        ("redis+cluster://:pass@a,b:7001", "redis+cluster://a,b:7001"),
        (
            "redis+sentinel://u:p@a,[::1]:26380/main/2",
            "redis+sentinel://a,[::1]:26380/main/2",
        ),
    ] {
        let parsed: RedisUrl = url.parse().unwrap();
        assert_eq!(parsed.to_string(), shown);
        assert_eq!(format!("{parsed:?}"), format!("{shown:?}"));
    }
    for url in [
        "",
        "redis",
        "http://a/",
        "redis://",
        "redis://a/x",
        "redis+sentinel://a",
        "redis+cluster://a/0",
        "redis+nonsense://a",
    ] {
        let error = url.parse::<RedisUrl>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
    }
}
