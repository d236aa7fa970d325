//! Money is conserved: over random schedules of success, error, cut, retry, fallback, climb, cross-check, cache hit and clients that
//! leave, what is on the ledger is what the providers billed; exactly where usage is known, and never less where it is not.
#![cfg(feature = "testing")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use futures_util::StreamExt;
use rungs::{
    Error, ErrorKind,
    catalog::{Deployment, Money, Price, Targets, Tier},
    layers::{
        breaker::{BreakerConfig, BreakerLayer, BreakerState},
        budget::BudgetLayer,
        cache::{CacheLayer, CacheScope},
        commit::CommitLayer,
        cost::CostLayer,
        cross_check::{CrossCheckLayer, When},
        escalate::{EscalateLayer, OnStream, StandardJudge},
        retry::{RetryConfig, RetryLayer},
        timeout::{TimeoutConfig, TimeoutLayer},
    },
    model::{
        Agreement, BoxModelService, Call, CallContext, ModelRequest, ModelResponse, Quality,
        RouteHint,
    },
    route::Route,
    store::{
        CostSource, RowStatus,
        memory::{MemoryBudgets, MemoryCache, MemoryLedger},
    },
    testing::{Reply, Scripted, ask, ask_stream},
};
use tower::{ServiceBuilder, ServiceExt};

const SCHEDULES: u64 = 300;
const CALLS: usize = 40;
const ACCOUNT: &str = "key:k";

/// Providers, and the stack above them.
struct World {
    providers: Vec<Scripted>,
    stack: BoxModelService,
    ledger: Arc<MemoryLedger>,
    book: Arc<MemoryBudgets>,
    targets: Targets,
    seen: Mutex<Seen>,
}

/// How calls were answered.
#[derive(Debug, Default)]
struct Seen {
    agreed: usize,
    differed: usize,
    fallbacks: usize,
}

impl Seen {
    fn see(&mut self, answer: &ModelResponse) {
        let verdict = answer.meta.verdict.as_ref();
        match verdict.map(|verdict| &verdict.agreement) {
            Some(Agreement::Agree) => self.agreed += 1,
            Some(Agreement::Differ(_)) => self.differed += 1,
            _ => {}
        }
        self.fallbacks += usize::from(answer.meta.fallback);
    }

    fn add(&mut self, other: &Self) {
        self.agreed += other.agreed;
        self.differed += other.differed;
        self.fallbacks += other.fallbacks;
    }

    fn is_enough(&self) {
        let enough = self.agreed > 100 && self.differed > 100 && self.fallbacks > 25;
        assert!(enough, "{self:?}");
    }
}

impl World {
    /// `tells` is whether every attempt comes to its end, where its usage is told: then streams are read to their end before they are
    /// judged too; else they are passed on as they come.
    fn new(seed: u64, tells: bool) -> Self {
        let ledger = Arc::new(MemoryLedger::new(10_000));
        let book = Arc::new(MemoryBudgets::new());
        book.set(ACCOUNT, vec!["1000/total".parse().expect("a budget")]);
        let tiers = [Tier::L0, Tier::L0, Tier::L1, Tier::L2];
        let providers: Vec<_> = (0..)
            .zip(tiers)
            .map(|(n, tier)| provider(n, tier, seed, tells))
            .collect();
        let rings = providers.iter().map(|provider| {
            let deployment = provider.deployment();
            let breaker = BreakerConfig {
                failures: u32::MAX,
                percent: 101,
                ..BreakerConfig::default()
            };
            let ring = ServiceBuilder::new()
                .layer(BreakerLayer::new(BreakerState::new(
                    deployment.id.clone(),
                    breaker,
                )))
                .layer(RetryLayer::new(RetryConfig::default()))
                .layer(BudgetLayer::new(deployment.clone(), book.clone()))
                .layer(CostLayer::new(deployment.clone(), ledger.clone()))
                .layer(TimeoutLayer::new(
                    deployment.clone(),
                    TimeoutConfig::default(),
                ))
                .service(provider.clone());
            (deployment, BoxModelService::new(ring))
        });
        let route = Route::new(rings.collect::<Vec<_>>());
        let stack = ServiceBuilder::new()
            .layer(CommitLayer::new(ledger.clone()))
            .layer(
                CacheLayer::new(Arc::new(MemoryCache::new(1 << 20)), CacheScope::Tenant)
                    .ledger(ledger.clone()),
            )
            .layer(CrossCheckLayer::new(When::Quality(Quality::High)))
            .layer(
                EscalateLayer::new(StandardJudge::new()).on_stream(match tells {
                    true => OnStream::Buffer,
                    false => OnStream::Pass,
                }),
            )
            .service(route);
        let deployments = providers.iter().map(Scripted::deployment);
        // The last one only answers when nobody else does.
        let (first, fallback): (Vec<_>, Vec<_>) =
            deployments.partition(|deployment| deployment.tier < Tier::L2);
        Self {
            stack: BoxModelService::new(stack),
            targets: Targets::new(first).or_else(fallback),
            providers,
            ledger,
            book,
            seen: Mutex::default(),
        }
    }

    /// One call; `stays` is how many frames its client waits for.
    async fn call(&self, question: &str, stream: bool, quality: Quality, stays: Option<usize>) {
        let request = match stream {
            true => ask_stream(question),
            false => ask(question),
        };
        let call = Call {
            accounts: Arc::new([ACCOUNT.into()]),
            quality,
            ..Call::new("tenant")
        };
        let request = ModelRequest {
            ctx: CallContext::new(call),
            ..request
        };
        let request = request.route(RouteHint::to(self.targets.clone()));
        let answer = self.stack.clone().oneshot(request);
        let Some(stays) = stays else {
            if let Ok(answer) = answer.await {
                self.seen.lock().expect("no panic").see(&answer);
                let _ = answer.body.collect(1 << 20).await;
            }
            return;
        };
        // Some leave before there is anything to read.
        let patience = Duration::from_millis(stays as u64 * 30);
        if let Ok(Ok(answer)) = tokio::time::timeout(patience, answer).await {
            self.seen.lock().expect("no panic").see(&answer);
            let mut body = answer.body;
            for _ in 0..stays {
                body.next().await;
            }
        }
    }

    fn billed(&self) -> Money {
        self.providers.iter().map(Scripted::bill).sum()
    }

    fn charged(&self) -> Money {
        self.ledger.rows().iter().map(|row| row.cost).sum()
    }
}

fn provider(n: u64, tier: Tier, seed: u64, tells: bool) -> Scripted {
    let dollars = |cents: i64| Money::from_nanos(cents * 10_000_000);
    let price = Price::per_million(dollars(10 + 100 * tier.level() as i64), dollars(40));
    let deployment = Deployment {
        max_output: Some(500),
        ..Deployment::new("p", &format!("m{n}"))
            .price(price)
            .tier(tier)
    };
    let rng = Mutex::new(Rng::with_seed(seed * 31 + n));
    // In some schedules little but the fallback works.
    let ill = tier < Tier::L2 && seed.is_multiple_of(3);
    Scripted::by(deployment, move |request| {
        let mut rng = rng.lock().expect("no panic");
        // Reviews alone have a limit that their caller did not ask for.
        match request.own_limit && rng.u8(0..4) > 0 {
            true => review(&mut rng),
            false if ill && rng.u8(0..8) > 0 => Reply::error(broken()),
            false => reply(&mut rng, tells),
        }
    })
}

fn review(rng: &mut Rng) -> Reply {
    let agree = rng.bool();
    Reply::text(&format!(
        r#"{{"agree": {agree}, "confidence": 90, "issues": []}}"#
    ))
}

fn broken() -> Error {
    Error::new(ErrorKind::Upstream, "broken").upstream_status(http::StatusCode::BAD_GATEWAY)
}

fn reply(rng: &mut Rng, tells: bool) -> Reply {
    let slow = Duration::from_millis(rng.u64(0..40));
    let text = Reply::text("one two three four five")
        .after(slow)
        .gap(slow / 4);
    match rng.u8(0..12) {
        0 => Reply::error(broken()).after(slow),
        1 => Reply::error(
            Error::new(ErrorKind::RateLimited, "later")
                .upstream_status(http::StatusCode::TOO_MANY_REQUESTS),
        ),
        2 => Reply::text("I'm sorry, but I can't help with that.").after(slow),
        3 => Reply::text("").after(slow),
        4 => text.finish("length"),
        5 if !tells => text.stop_after(rng.usize(0..4)),
        // It is at work by then, whatever it says.
        6 if !tells => text.fail_after(rng.usize(0..4), broken().may_be_billed()),
        7 if !tells => Reply::hang(),
        _ => text,
    }
}

/// Plays schedule `seed`; some clients leave early if `leave`.
async fn play(world: &World, seed: u64, leave: bool) {
    let mut rng = Rng::with_seed(seed);
    let calls = (0..CALLS).map(|_| {
        // Few questions, so that some are asked at once, and some again.
        let question = format!("question {}", rng.u8(0..12));
        let quality = match rng.u8(0..4) {
            0 => Quality::High,
            _ => Quality::Normal,
        };
        let stays = (leave && rng.bool()).then(|| rng.usize(0..4));
        let (stream, begins) = (rng.bool(), Duration::from_millis(rng.u64(0..300)));
        async move {
            tokio::time::sleep(begins).await;
            world.call(&question, stream, quality, stays).await;
        }
    });
    futures_util::future::join_all(calls.collect::<Vec<_>>()).await;
    // What nobody waits for any more ends too.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
}

fn at_rest(world: &World, seed: u64) {
    let balances = world.book.balances(ACCOUNT);
    assert_eq!(balances[0].reserved, Money::ZERO, "seed {seed}");
    assert_eq!(
        balances[0].posted,
        world.charged(),
        "seed {seed}: budget and ledger"
    );
    let rows = world.ledger.rows();
    // One by one: what is charged too high with one provider must not hide what is too low with another.
    for provider in &world.providers {
        let (id, billed) = (provider.deployment().id.clone(), provider.bill());
        let charged = rows.iter().filter(|row| row.deployment == id);
        let charged: Money = charged.map(|row| row.cost).sum();
        assert!(charged >= billed, "seed {seed}: {id} {charged} < {billed}");
    }
    let attempts = rows.iter().filter(|row| row.attempt > 0).count();
    let calls: usize = world.providers.iter().map(Scripted::calls).sum();
    assert_eq!(
        attempts, calls,
        "seed {seed}: a row for each request that went out"
    );
}

#[tokio::test(start_paused = true)]
async fn r3_where_usage_is_known_the_ledger_is_the_bill() {
    let (mut hits, mut climbs, mut retries) = (0, 0, 0);
    let mut seen = Seen::default();
    for seed in 1..=SCHEDULES {
        let world = World::new(seed, true);
        play(&world, seed, false).await;
        at_rest(&world, seed);
        let rows = world.ledger.rows();
        let known = |source| matches!(source, CostSource::Computed | CostSource::Nothing);
        let guessed = rows.iter().find(|row| !known(row.source));
        assert!(guessed.is_none(), "seed {seed}: {guessed:?}");
        assert_eq!(world.charged(), world.billed(), "seed {seed}");
        hits += rows
            .iter()
            .filter(|row| row.status == RowStatus::CacheHit)
            .count();
        climbs += rows.iter().filter(|row| row.tier > Tier::L0).count();
        retries += rows.iter().filter(|row| row.attempt > 1).count();
        seen.add(&world.seen.lock().expect("no panic"));
    }
    seen.is_enough();
    assert!(
        hits > 100 && climbs > 100 && retries > 100,
        "{hits} {climbs} {retries}"
    );
}

#[tokio::test(start_paused = true)]
async fn r3_where_it_is_not_the_ledger_is_never_below_the_bill() {
    let (mut unknown, mut cancelled, mut above) = (0, 0, 0);
    let mut seen = Seen::default();
    for seed in 1..=SCHEDULES {
        let world = World::new(seed, false);
        play(&world, seed, true).await;
        at_rest(&world, seed);
        let (charged, billed) = (world.charged(), world.billed());
        assert!(charged >= billed, "seed {seed}: {charged} < {billed}");
        let rows = world.ledger.rows();
        unknown += rows
            .iter()
            .filter(|row| row.source == CostSource::Unknown)
            .count();
        cancelled += rows
            .iter()
            .filter(|row| row.status == RowStatus::Cancelled)
            .count();
        above += usize::from(charged > billed);
        seen.add(&world.seen.lock().expect("no panic"));
    }
    seen.is_enough();
    assert!(
        unknown > 100 && cancelled > 100 && above > 100,
        "{unknown} {cancelled} {above}"
    );
}
