//! Both rings with everything in them, over a leaf that costs next to nothing.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use rungs::{
    Error, ServiceBuilderExt,
    catalog::{Deployment, Price, Targets, Tier},
    json::RawObject,
    layers::{
        breaker::{BreakerConfig, BreakerState},
        cache::CacheScope,
        cross_check::When,
        escalate::StandardJudge,
        in_flight::InFlightLayer,
        rate::RateLayer,
        retry::RetryConfig,
        timeout::{TimeoutConfig, TimeoutLayer},
    },
    model::{
        BoxModelService, Call, CallContext, End, FinishReason, Frame, ModelBody, ModelRequest,
        ModelResponse, Quality, ResponseMeta, RouteHint, Usage,
    },
    route::Route,
    store::{
        Quota,
        memory::{MemoryBudgets, MemoryCache, MemoryLedger, MemoryRates},
    },
};
use tower::{ServiceBuilder, service_fn};

/// What a stream's answer is made of.
pub(crate) const CHUNKS: usize = 100;

const WHOLE: &str = r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"An answer of a few words."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":6}}"#;
const CHUNK: &str = r#"{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}"#;

/// A gateway of one provider with two tiers; calls start on the lower one.
pub(crate) struct Rings {
    /// The call ring over the route over the attempt rings.
    pub(crate) calls: BoxModelService,
    /// The attempt ring of the lower tier alone.
    pub(crate) attempts: BoxModelService,
    /// Its leaf alone.
    pub(crate) leaf: BoxModelService,
    /// Whom that asks.
    pub(crate) deployment: Arc<Deployment>,
    targets: Targets,
}

impl Rings {
    pub(crate) fn new() -> Self {
        let price = Price::per_million(money("0.15"), money("0.60"));
        let low = Deployment {
            max_output: Some(4096),
            ..Deployment::new("p", "m").price(price)
        };
        let high = Deployment {
            max_output: Some(4096),
            ..Deployment::new("p", "n").price(price)
        };
        let tiers = [low, high.tier(Tier::L1)].map(Arc::new);
        let stores = Stores::default();
        let rings = tiers
            .each_ref()
            .map(|d| (Arc::clone(d), attempt_ring(d, &stores)));
        Self {
            attempts: rings[0].1.clone(),
            leaf: leaf(&tiers[0]),
            deployment: Arc::clone(&tiers[0]),
            calls: call_ring(Route::new(rings), &stores),
            targets: Targets::new(tiers),
        }
    }

    /// Who calls: a tenant whose key has two budgets and limits.
    pub(crate) fn caller() -> CallContext {
        let mut call = Call::new("tenant");
        call.key = Some("k".into());
        call.accounts = Arc::new(["key:k".into(), "global:all".into()]);
        call.limits.requests = Some(u64::MAX / 4);
        CallContext::new(call)
    }

    pub(crate) fn route(&self) -> RouteHint {
        RouteHint::to(self.targets.clone())
    }

    /// A question that nobody has asked before, so that the cache has no answer to it.
    pub(crate) fn question(stream: bool) -> Bytes {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        let question = format!(
            r#"{{"model":"auto","stream":{stream},"messages":[{{"role":"user","content":"Question {asked}: what is it?"}}]}}"#
        );
        question.into()
    }

    /// The same as a request on its way into the call ring.
    pub(crate) fn request(&self, stream: bool) -> ModelRequest {
        let body = RawObject::parse(Self::question(stream)).expect("an object");
        ModelRequest::chat(body, Self::caller()).route(self.route())
    }
}

struct Stores {
    budgets: Arc<MemoryBudgets>,
    ledger: Arc<MemoryLedger>,
    rates: Arc<MemoryRates>,
    cache: Arc<MemoryCache>,
}

impl Default for Stores {
    fn default() -> Self {
        let budgets = MemoryBudgets::new();
        for account in ["key:k", "global:all"] {
            budgets.set(account, vec!["1000000/day".parse().expect("a budget")]);
        }
        Self {
            budgets: Arc::new(budgets),
            ledger: Arc::new(MemoryLedger::new(1000)),
            rates: Arc::default(),
            cache: Arc::new(MemoryCache::new(64 << 20)),
        }
    }
}

fn call_ring(route: Route, stores: &Stores) -> BoxModelService {
    ServiceBuilder::new()
        .trace()
        .in_flight(1000)
        .rate(stores.rates.clone())
        .cache(stores.cache.clone(), CacheScope::Tenant)
        .cross_check(When::Quality(Quality::High))
        .escalate(StandardJudge::new())
        .ring(route)
}

fn attempt_ring(deployment: &Arc<Deployment>, stores: &Stores) -> BoxModelService {
    let breaker = BreakerState::new(deployment.id.clone(), BreakerConfig::default());
    let rate = RateLayer::new(stores.rates.clone(), "provider:p");
    ServiceBuilder::new()
        .breaker(breaker)
        .retries(RetryConfig::default())
        .layer(rate.requests(Quota::per_minute(u64::MAX / 4)))
        .layer(InFlightLayer::new(1000))
        .budget(deployment.clone(), stores.budgets.clone())
        .cost(deployment.clone(), stores.ledger.clone())
        .layer(TimeoutLayer::new(
            deployment.clone(),
            TimeoutConfig::default(),
        ))
        .ring(leaf(deployment))
}

/// Answers at once, in the form that was asked for.
fn leaf(deployment: &Arc<Deployment>) -> BoxModelService {
    let deployment = Arc::clone(deployment);
    BoxModelService::new(service_fn(move |request: ModelRequest| {
        let meta = ResponseMeta {
            deployment: Some(Arc::clone(&deployment)),
            ..ResponseMeta::default()
        };
        let end = End {
            usage: Some(Usage::new(9, 6)),
            finish: Some(FinishReason::Stop),
            ..End::default()
        };
        let body = if request.wants_stream() {
            let chunks = (0..CHUNKS).map(|_| Frame::Data(Bytes::from_static(CHUNK.as_bytes())));
            ModelBody::stream(stream::iter(chunks.chain([Frame::End(end)]).map(Ok)))
        } else {
            ModelBody::whole(Bytes::from_static(WHOLE.as_bytes()), end)
        };
        let answer: Ready<Result<_, Error>> = ready(Ok(ModelResponse { meta, body }));
        answer
    }))
}

fn money(text: &str) -> rungs::catalog::Money {
    text.parse().expect("an amount")
}
