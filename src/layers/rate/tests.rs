use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{join, join_all, ready};
use proptest::prelude::*;
use tokio::time::sleep;
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::*;
use crate::{
    catalog::{Deployment, Price, Targets, Tier},
    error::{Error, ErrorKind},
    layers::{
        cache::{CacheLayer, CacheScope},
        cost::CostLayer,
        drain::{DrainLayer, Drains},
        escalate::{EscalateLayer, StandardJudge},
        idempotency::IdempotencyLayer,
    },
    model::{
        BoxModelService, CacheStatus, Call, CallContext, LimitFacts, ModelRequest, ModelResponse,
        RateLimits, RouteHint, Usage,
    },
    route::Route,
    store::{
        Correction, Quota, RateDecision, RateStore, Standing, StoreFuture, Take,
        memory::{MemoryCache, MemoryIdempotency, MemoryLedger, MemoryRates},
    },
    testing::{
        Reply, Scripted, ask, ask_stream, chat, layer_contract, named, store_contract::take,
    },
};

/// Counts without ever filling up again.
#[derive(Default)]
struct Counted {
    used: Mutex<HashMap<String, i64>>,
    broken: bool,
}

impl Counted {
    fn used(&self, name: &str) -> i64 {
        *self.used.lock().unwrap().get(name).unwrap_or(&0)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.used.lock().unwrap().keys().cloned().collect();
        names.sort();
        names
    }
}

impl RateStore for Counted {
    fn take<'a>(&'a self, takes: &'a [Take<'a>]) -> StoreFuture<'a, RateDecision> {
        if self.broken {
            let error = Error::new(ErrorKind::Unavailable, "the rate store is away");
            return Box::pin(ready(Err(error)));
        }
        let wide = |units: u64| i64::try_from(units).unwrap();
        let mut used = self.used.lock().unwrap();
        let free = |used: &HashMap<String, i64>, take: &Take<'_>| {
            wide(take.quota.limit) - used.get(take.name).unwrap_or(&0)
        };
        let refused = takes.iter().position(|t| wide(t.units) > free(&used, t));
        if refused.is_none() {
            for take in takes {
                *used.entry(take.name.into()).or_default() += wide(take.units);
            }
        }
        let standings = takes.iter().map(|take| Standing {
            remaining: u64::try_from(free(&used, take)).unwrap_or(0),
            reset: Duration::from_secs(7),
        });
        let standings = standings.collect();
        Box::pin(ready(Ok(match refused {
            None => RateDecision::Taken(standings),
            Some(limit) => RateDecision::Refused {
                limit,
                retry_after: takes[limit].quota.period,
                standings,
            },
        })))
    }

    fn adjust(&self, name: &str, quota: Quota, correction: Correction) {
        *self.used.lock().unwrap().entry(name.into()).or_default() += correction.delta(quota);
    }
}

const REQUESTS: &str = "requests/p/m";
const TOKENS: &str = "tokens/p/m";

fn limits(store: &Arc<Counted>, requests: u64, tokens: u64) -> RateLayer {
    RateLayer::new(store.clone(), "p/m")
        .requests(Quota::per_minute(requests))
        .tokens(Quota::per_minute(tokens))
}

fn provider(reply: Reply) -> Scripted {
    Scripted::at(Deployment::new("p", "m"), [reply])
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    let store = Arc::new(Counted::default());
    layer_contract(|probe| limits(&store, 1000, 1_000_000).layer(probe)).await;
    layer_contract(|probe| RateLayer::new(store.clone(), "none").layer(probe)).await;
}

#[tokio::test]
async fn r27_requests_are_counted_one_by_one() {
    let store = Arc::new(Counted::default());
    let provider = provider(Reply::text("ok"));
    let service = limits(&store, 3, 1_000_000).layer(provider.clone());
    let mut refused = Vec::new();
    for _ in 0..5 {
        refused.extend(service.clone().oneshot(ask("q")).await.err());
    }
    assert_eq!((provider.calls(), refused.len()), (3, 2));
    let error = &refused[0];
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(
        error.message(),
        "the limit of 3 requests per 60 s of `p/m` is reached"
    );
    assert_eq!(error.get_retry_after(), Some(Duration::from_secs(60)));
    assert!(!error.is_upstream());
}

#[tokio::test]
async fn r2_nobody_waits_for_tokens_that_cannot_have_been_used() {
    let store = Arc::new(Counted::default());
    let lie = Reply::text("a").usage(Usage::new(3, Usage::ABSURD));
    let service = limits(&store, 10, 1000).layer(provider(lie));
    let request = chat(&serde_json::json!({ "model": "m", "messages": [], "max_tokens": 100 }));
    let estimate = i64::try_from(request.body.as_bytes().len()).unwrap() / 4 + 100;
    let answer = service.oneshot(request).await.unwrap();
    answer.body.collect(9999).await.unwrap();
    assert_eq!(store.used(TOKENS), estimate);
}

#[tokio::test]
async fn tokens_are_estimated_and_then_corrected() {
    let store = Arc::new(Counted::default());
    let used = Reply::text("a b c").usage(Usage::new(40, 7));
    let service = limits(&store, 10, 1000).layer(provider(used));
    let mut body = serde_json::json!({ "model": "m", "messages": [], "max_tokens": 100 });
    let whole = chat(&body);
    let estimate = i64::try_from(whole.body.as_bytes().len()).unwrap() / 4 + 100;
    let answer = service.clone().oneshot(whole).await.unwrap();
    assert_eq!(store.used(TOKENS), estimate);
    drop(answer);
    assert_eq!(store.used(TOKENS), 47, "a whole answer has arrived");

    body["stream"] = true.into();
    let stream = chat(&body);
    let estimate = i64::try_from(stream.body.as_bytes().len()).unwrap() / 4 + 100;
    let answer = service.clone().oneshot(stream.clone()).await.unwrap();
    answer.body.collect(9999).await.unwrap();
    assert_eq!(store.used(TOKENS), 94);
    drop(service.oneshot(stream).await.unwrap());
    assert_eq!(
        store.used(TOKENS),
        94 + estimate,
        "nobody knows what a cut answer took"
    );
}

#[tokio::test]
async fn a_caller_uses_the_tokens_of_all_attempts_and_none_of_a_kept_answer() {
    let deployment = |tier| {
        let deployment = Deployment::new("p", &format!("m{tier}"));
        deployment.tier(Tier::new(tier)).price(Price::FREE)
    };
    let draft = Reply::text("").usage(Usage::new(10, 1));
    let better = Reply::text("42").usage(Usage::new(30, 2));
    let tiers = [
        Scripted::at(deployment(0), [draft]),
        Scripted::at(deployment(1), [better]),
    ];
    let targets = Targets::new(tiers.each_ref().map(Scripted::deployment));
    let ledger = Arc::new(MemoryLedger::new(100));
    let route = Route::new(tiers.map(|tier| {
        let cost = CostLayer::new(tier.deployment(), ledger.clone());
        (tier.deployment(), BoxModelService::new(cost.layer(tier)))
    }));
    let store = Arc::new(Counted::default());
    let service = ServiceBuilder::new()
        .layer(RateLayer::per_call(store.clone()))
        .layer(CacheLayer::new(
            Arc::new(MemoryCache::new(1 << 20)),
            CacheScope::Tenant,
        ))
        .layer(EscalateLayer::new(StandardJudge::new()))
        .service(route);
    let ask_it = async |question| {
        let call = Call {
            key: Some("a".into()),
            limits: RateLimits {
                requests: None,
                tokens: Some(1000),
            },
            ..Call::new("t")
        };
        let request = ModelRequest {
            ctx: CallContext::new(call),
            ..question
        };
        let hint = RouteHint::to(targets.clone());
        let answer = service.clone().oneshot(request.route(hint)).await.unwrap();
        let cache = answer.meta.cache;
        answer.body.collect(9999).await.unwrap();
        (cache, store.used("tokens/caller/key/a"))
    };
    assert_eq!(ask_it(ask("q")).await, (CacheStatus::Miss, 43));
    assert_eq!(ask_it(ask("q")).await, (CacheStatus::Hit, 43));
    assert_eq!(ask_it(ask_stream("r")).await, (CacheStatus::Miss, 86));
}

#[tokio::test]
async fn a_refusal_takes_nothing() {
    let store = Arc::new(Counted::default());
    let service = limits(&store, 10, 100).layer(provider(Reply::text("ok")));
    let big = || ask_stream(&"x".repeat(200));
    let answer = service.clone().oneshot(big()).await.unwrap();
    let before = store.used(TOKENS);
    let error = service.oneshot(big()).await.unwrap_err();
    assert!(
        error.message().starts_with("the limit of 100 tokens"),
        "{error}"
    );
    assert_eq!((store.used(REQUESTS), store.used(TOKENS)), (1, before));
    drop(answer);
}

#[tokio::test]
async fn an_estimate_above_the_whole_quota_counts_as_the_quota() {
    let store = Arc::new(Counted::default());
    let service = limits(&store, 10, 50).layer(provider(Reply::text("ok")));
    let answer = service.oneshot(ask_stream(&"x".repeat(4000))).await;
    assert!(answer.is_ok());
    assert_eq!(store.used(TOKENS), 50);
}

#[tokio::test]
async fn a_quota_of_nothing_admits_nothing() {
    let store = Arc::new(Counted::default());
    let provider = provider(Reply::text("ok"));
    for layer in [limits(&store, 0, 100), limits(&store, 100, 0)] {
        let answer = layer.layer(provider.clone()).oneshot(ask("q")).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::RateLimited);
    }
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn errors_give_back_what_they_have_not_used() {
    // (error, raised by the provider, requests used, whether tokens stay taken)
    let table = [
        (ErrorKind::Upstream, true, 1, false),
        (ErrorKind::RateLimited, true, 1, false),
        (ErrorKind::Timeout, true, 1, true),
        (ErrorKind::Cut, true, 1, true),
        (ErrorKind::Overloaded, false, 0, false),
        (ErrorKind::Budget, false, 0, false),
        (ErrorKind::Timeout, false, 0, false),
    ];
    for (kind, asked, requests, stay) in table {
        let store = Arc::new(Counted::default());
        let mut error = Error::new(kind, "no");
        if asked {
            error = error.asked("p".into(), "m".into());
        }
        let leaf = tower::service_fn(move |_| ready(Err(error.clone())));
        let answer = limits(&store, 10, 1000).layer(leaf).oneshot(ask("q")).await;
        assert_eq!(answer.unwrap_err().kind(), kind);
        assert_eq!(store.used(REQUESTS), requests, "{kind:?}");
        assert_eq!(store.used(TOKENS) > 0, stay, "{kind:?}");
    }
}

#[tokio::test]
async fn limits_are_counted_per_key_user_or_tenant() {
    let request = |tenant: &str, key: Option<&str>, user: Option<&str>| -> ModelRequest {
        let mut request = ask("q");
        request.ctx = CallContext::new(Call {
            key: key.map(Into::into),
            user: user.map(Into::into),
            ..Call::new(tenant)
        });
        request
    };
    let store = Arc::new(Counted::default());
    let provider = provider(Reply::text("ok"));
    let counted_by = |key| {
        RateLayer::new(store.clone(), "gate")
            .requests(Quota::per_minute(1))
            .per(key)
            .layer(provider.clone())
    };
    let (a, b) = (Some("a"), Some("b"));
    // (whose, first call, a call of somebody else, a call of the same)
    let table = [
        (RateKey::Fixed, ("t", a, a), None, ("u", b, b)),
        (RateKey::Key, ("t", a, a), Some(("t", b, a)), ("u", a, b)),
        (RateKey::Key, ("t", None, a), None, ("u", None, b)),
        (RateKey::User, ("t", a, a), Some(("u", a, a)), ("t", b, a)),
        (
            RateKey::User,
            ("t", a, None),
            Some(("u", a, None)),
            ("t", b, None),
        ),
        (RateKey::Tenant, ("t", a, a), Some(("u", a, a)), ("t", b, b)),
    ];
    for (key, first, other, same) in table {
        let service = counted_by(key);
        let call = |(tenant, key, user)| service.clone().oneshot(request(tenant, key, user));
        assert!(call(first).await.is_ok(), "{key:?}");
        if let Some(other) = other {
            assert!(call(other).await.is_ok(), "{key:?}");
        }
        assert!(call(same).await.is_err(), "{key:?}");
    }
    assert_eq!(store.names().len(), 10);
}

#[tokio::test]
async fn a_call_brings_its_own_limits_along() {
    let request = |key: &str, requests, tokens| {
        let mut request = ask("q");
        request.ctx = CallContext::new(Call {
            key: Some(key.into()),
            limits: RateLimits { requests, tokens },
            ..Call::new("t")
        });
        request
    };
    let store = Arc::new(Counted::default());
    let provider = provider(Reply::text("ok"));
    let service = RateLayer::per_call(store.clone()).layer(provider.clone());
    let call = |request| service.clone().oneshot(request);
    for _ in 0..5 {
        assert!(call(request("free", None, None)).await.is_ok());
    }
    assert!(store.names().is_empty(), "no limit, no question");
    assert!(call(request("a", Some(1), None)).await.is_ok());
    assert!(call(request("b", Some(1), None)).await.is_ok());
    let error = call(request("a", Some(1), None)).await.unwrap_err();
    assert_eq!(
        error.message(),
        "the limit of 1 requests per 60 s of this API key is reached"
    );
    assert!(call(request("a", Some(2), Some(0))).await.is_err());
    assert_eq!(store.used("requests/caller/key/a"), 1);
}

#[tokio::test]
async fn a_call_takes_from_all_its_limits_or_from_none() {
    let request = |user: Option<&str>| {
        let mut request = ask("q");
        request.ctx = CallContext::new(Call {
            key: Some("a".into()),
            user: user.map(Into::into),
            limits: RateLimits {
                requests: Some(10),
                tokens: Some(1000),
            },
            user_limits: RateLimits {
                requests: Some(1),
                tokens: None,
            },
            ..Call::new("t")
        });
        request
    };
    let store = Arc::new(Counted::default());
    let provider = provider(Reply::text("ok"));
    let service = RateLayer::per_call(store.clone()).layer(provider.clone());
    let first = request(Some("u"));
    service.clone().oneshot(first.clone()).await.unwrap();
    let left = |limit, remaining| LimitFacts {
        limit,
        remaining,
        reset: Duration::from_secs(7),
    };
    assert_eq!(
        first.ctx.rates().requests,
        Some(left(1, 0)),
        "the tighter one"
    );
    assert!(first.ctx.rates().tokens.is_some_and(|t| t.limit == 1000));

    let again = request(Some("u"));
    let error = service.clone().oneshot(again.clone()).await.unwrap_err();
    assert_eq!(
        error.message(),
        "the limit of 1 requests per 60 s of this user is reached"
    );
    assert_eq!(again.ctx.rates().requests, Some(left(1, 0)));
    assert_eq!(store.used("requests/caller/key/a"), 1, "none is taken");
    let other = request(Some("v"));
    assert!(service.clone().oneshot(other).await.is_ok());
    let nobody = request(None);
    service.clone().oneshot(nobody.clone()).await.unwrap();
    assert_eq!(nobody.ctx.rates().requests, Some(left(10, 7)));

    let both = limits(&store, 5, 1000)
        .and(RateLayer::new(store.clone(), "p/n").requests(Quota::per_minute(1)));
    let service = both.layer(provider);
    let fixed = ask("q");
    assert!(service.clone().oneshot(fixed.clone()).await.is_ok());
    assert!(
        fixed.ctx.rates().requests.is_none(),
        "a provider's are ours"
    );
    assert!(service.oneshot(ask("q")).await.is_err());
    assert_eq!(store.used(REQUESTS), 1);
}

#[tokio::test]
async fn clients_cannot_choose_each_others_names() {
    let name = |tenant: &str, user: &str| {
        let call = Call {
            user: Some(user.into()),
            ..Call::new(tenant)
        };
        RateKey::User.name(&"p".into(), &call)
    };
    assert_ne!(name("a/user/b", "c"), name("a", "b/user/c"));
    assert_ne!(name("a", "b"), name("b", "a"));
}

#[tokio::test]
async fn r12_a_store_that_is_away_is_no_limit_that_is_reached() {
    let store = Arc::new(Counted {
        broken: true,
        ..Counted::default()
    });
    let answer = limits(&store, 1, 1).layer(provider(Reply::text("ok")));
    let error = answer.oneshot(ask("q")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn an_attempt_that_ends_before_it_has_gone_out_uses_nothing() {
    // (attempt, whether it has gone out, whether it stays taken); above the attempts nobody knows.
    for (attempt, sent, stays) in [(1, false, false), (1, true, true), (0, false, true)] {
        let store = Arc::new(Counted::default());
        let leaf = tower::service_fn(move |request: ModelRequest| {
            if sent {
                request.ctx.send(request.attempt);
            }
            std::future::pending::<Result<ModelResponse, Error>>()
        });
        let request = ModelRequest {
            attempt,
            ..ask("q")
        };
        let mut asking = Box::pin(limits(&store, 10, 1000).layer(leaf).oneshot(request));
        assert!(futures_util::poll!(asking.as_mut()).is_pending());
        assert_eq!(store.used(REQUESTS), 1);
        drop(asking);
        let used = (store.used(REQUESTS) > 0, store.used(TOKENS) > 0);
        assert_eq!(used, (stays, stays), "{attempt} {sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_and_comes_again_gets_no_answer_for_nothing() {
    let slow = || {
        let reply = Reply::text("a b c").after(Duration::from_secs(2));
        provider(reply.usage(Usage::new(40, 7)))
    };
    let drains = Drains::new(1, Duration::from_secs(60));
    let names = IdempotencyLayer::new(Arc::new(MemoryIdempotency::new(1 << 20)))
        .around(DrainLayer::new(drains));
    let cache = CacheLayer::new(Arc::new(MemoryCache::new(1 << 20)), CacheScope::Tenant);
    let stacks = [
        BoxModelService::new(names.layer(slow())),
        BoxModelService::new(cache.layer(slow())),
    ];
    for stack in stacks {
        let store = Arc::new(Counted::default());
        let service = limits(&store, 10, 1000).layer(stack);
        let call = || Box::pin(service.clone().oneshot(named("n", ask("q"))));
        let (mut first, mut second) = (call(), call());
        for call in [&mut first, &mut second] {
            assert!(futures_util::poll!(call.as_mut()).is_pending());
        }
        let estimate = store.used(TOKENS) / 2;
        drop(first);
        let answer = second.await.unwrap();
        let again = answer.meta.replayed || answer.meta.cache == CacheStatus::Shared;
        assert!(again, "{:?}", answer.meta);
        answer.body.collect(9999).await.unwrap();
        assert_eq!(store.used(TOKENS), estimate + 47);
    }
}

/// A call that is estimated at so many tokens, uses so many, and takes so long.
#[derive(Debug, Clone, Copy)]
struct Plan {
    estimate: u64,
    used: u64,
    lasts: Duration,
}

const TEN_A_SECOND: Quota = Quota::per_minute(600);

async fn remaining(rates: &MemoryRates, quota: Quota) -> u64 {
    let decision = rates.take(&[take(TOKENS, quota, 0)]).await.unwrap();
    let (RateDecision::Taken(standings) | RateDecision::Refused { standings, .. }) = decision;
    standings[0].remaining
}

/// Carries it out if there is room; `truth` gets what it uses when it begins.
async fn carry_out(plan: Plan, rates: &Arc<MemoryRates>, truth: &Arc<MemoryRates>) {
    let mut body = serde_json::json!({ "model": "m", "messages": [], "max_tokens": 100 });
    let rest = chat(&body).body.as_bytes().len() as u64 / 4;
    body["max_tokens"] = (plan.estimate - rest).into();
    let reply = Reply::text("a").usage(Usage::new(plan.used, 0));
    let provider = provider(reply.after(plan.lasts));
    let truth = Arc::clone(truth);
    let leaf = tower::service_fn(move |request| {
        truth.adjust(TOKENS, TEN_A_SECOND, Correction::at_once(0, plan.used));
        provider.clone().oneshot(request)
    });
    let layer = RateLayer::new(rates.clone(), "p/m").tokens(TEN_A_SECOND);
    if let Ok(answer) = layer.layer(leaf).oneshot(chat(&body)).await {
        answer.body.collect(9999).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn time_gives_back_what_was_used_before_what_was_not() {
    // (used, how long it took, what remains of 600 in the end); 300 are estimated.
    for (used, seconds, left) in [
        (200, 0, 400),
        (200, 10, 500),
        (200, 20, 600),
        (200, 40, 600),
    ] {
        let [rates, truth] = std::array::from_fn(|_| Arc::new(MemoryRates::new()));
        let plan = Plan {
            estimate: 300,
            used,
            lasts: Duration::from_secs(seconds),
        };
        carry_out(plan, &rates, &truth).await;
        assert_eq!(remaining(&rates, TEN_A_SECOND).await, left, "{plan:?}");
    }
}

proptest! {
    /// Each call: when it begins and how long it takes, in tenths of a second, its estimate, and how much of that is used.
    #[test]
    fn no_call_is_given_back_what_others_use(
        calls in prop::collection::vec((0..600_u64, 0..600_u64, 100..600_u64, 0..=100_u64), 1..20),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let [rates, truth] = std::array::from_fn(|_| Arc::new(MemoryRates::new()));
            // The refill is deducted in whole units.
            let rounded = calls.len() as u64;
            let all = calls.into_iter().map(|(begins, lasts, estimate, percent)| {
                let plan = Plan {
                    estimate,
                    used: estimate * percent / 100,
                    lasts: Duration::from_millis(lasts * 100),
                };
                let (rates, truth) = (&rates, &truth);
                async move {
                    sleep(Duration::from_millis(begins * 100)).await;
                    carry_out(plan, rates, truth).await;
                }
            });
            let watching = async {
                for _ in 0..1_300 {
                    sleep(Duration::from_millis(100)).await;
                    let (has, may) = (remaining(&rates, TEN_A_SECOND).await, remaining(&truth, TEN_A_SECOND).await);
                    prop_assert!(has <= may + rounded, "{} of {}", has, may);
                }
                Ok(())
            };
            join(join_all(all), watching).await.1
        })?;
    }
}
