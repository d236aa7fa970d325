use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use rungs::{
    Error, ErrorKind,
    catalog::Money,
    layers::{
        budget::BudgetLayer,
        cache::{CacheLayer, CacheScope},
        cost::CostLayer,
        rate::RateLayer,
        timeout::{TimeoutConfig, TimeoutLayer},
    },
    model::{Call, CallContext, ModelRequest, RateLimits},
    store::{
        Budgets, Ledger,
        memory::MemoryCache,
        redis::{Redis, RedisCache, RedisConfig, RedisRates, RedisUrl},
    },
};
use tokio::time::{sleep, timeout};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    books::{CheckThenAdd, Forgiving, RedisCounter, ReleaseOnCut},
    part::{Book, Calls, End, Part, Stands},
    stores::Stores,
    upstream::{Upstream, deployment, question},
    watched::{self, Watched},
};

/// Calls at a time.
const LANES: u64 = 6;
/// A lane ends after so many refusals in a row.
const REFUSALS: u64 = 3;

/// Plays a part, and says on standard output how it went.
pub(crate) fn run(part: &Part) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let end = runtime.block_on(play(part));
    println!("END {}", serde_json::to_string(&end).expect("JSON"));
}

/// One process's stack.
#[derive(Clone)]
struct Stack {
    book: Arc<dyn Budgets>,
    ledger: Arc<dyn Ledger>,
    upstream: Upstream,
    timeout: TimeoutConfig,
    hot: Option<(RateLayer, CacheLayer)>,
    questions: Arc<AtomicU64>,
}

#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    served: AtomicU64,
    refused: AtomicU64,
    unavailable: AtomicU64,
}

async fn play(part: &Part) -> End {
    let stores = Stores::open(part).await;
    let log = part.bill.with_file_name("book");
    let stack = Stack {
        book: Arc::new(Watched::new(book(part, &stores).await, &log)),
        ledger: match part.book {
            Book::ReleaseOnCut => Arc::new(Forgiving(stores.journal.clone())),
            _ => stores.journal.clone(),
        },
        upstream: Upstream::new(&part.bill, part.calls, part.seed),
        timeout: TimeoutConfig {
            first_frame: part.timeout,
            ..TimeoutConfig::default()
        },
        hot: match &part.redis {
            Some(url) => Some(hot(url).await),
            None => None,
        },
        questions: Arc::new(AtomicU64::new(part.seed << 32)),
    };
    if let Some(spent) = stores.begins_with() {
        watched::begins_with(&log, spent);
    }
    std::fs::write(part.folder.join("ready"), "").expect("a file");
    let tally = Tally::default();
    match part.calls {
        Calls::AtOnce => {
            while !part.bill.with_file_name("go").exists() {
                sleep(Duration::from_millis(2)).await;
            }
            let all = (0..part.count).map(|_| tally.count(stack.call(None)));
            join_all(all).await;
        }
        Calls::Random => {
            let lanes = (0..LANES).map(|lane| lane_of(part, &stack, &tally, lane));
            join_all(lanes).await;
        }
    }
    tally.end(stores.close().await)
}

/// The budgets that a process is to keep.
async fn book(part: &Part, stores: &Stores) -> Arc<dyn Budgets> {
    let (like, limit) = (stores.book(), Money::from_nanos(part.limit));
    match part.book {
        Book::Right => like,
        Book::ReleaseOnCut => Arc::new(ReleaseOnCut(like)),
        Book::CheckThenAdd => Arc::new(CheckThenAdd {
            ledger: stores.sink.clone(),
            limit,
            like,
        }),
        Book::RedisCounter => Arc::new(RedisCounter {
            redis: counter(part).await,
            limit,
            like,
        }),
    }
}

/// What Redis is asked for.
async fn hot(url: &str) -> (RateLayer, CacheLayer) {
    let url: RedisUrl = url.parse().expect("a URL");
    let redis = loop {
        match Redis::open(&url, RedisConfig::default()).await {
            Ok(redis) => break Arc::new(redis),
            // It stands still just now.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    };
    let cache = RedisCache::new(redis.clone(), Arc::new(MemoryCache::new(1 << 20)), 1 << 16);
    (
        RateLayer::per_call(Arc::new(RedisRates::new(redis, 4))),
        CacheLayer::new(Arc::new(cache), CacheScope::Tenant),
    )
}

async fn counter(part: &Part) -> redis::aio::MultiplexedConnection {
    let url = part.redis.as_deref().expect("a Redis");
    let client = redis::Client::open(url).expect("a URL");
    let connection = client.get_multiplexed_async_connection();
    connection.await.expect("it answers")
}

async fn lane_of(part: &Part, stack: &Stack, tally: &Tally, lane: u64) {
    let mut random = fastrand::Rng::with_seed(part.seed * 1_000 + lane);
    let mut refusals = 0;
    while refusals < REFUSALS && tally.calls.fetch_add(1, Ordering::Relaxed) < part.count as u64 {
        // Some clients leave.
        let patience = (random.u8(0..8) == 0).then(|| Duration::from_micros(random.u64(0..4_000)));
        let patience = patience.unwrap_or(Duration::from_millis(400));
        match tally.count(stack.call(Some(patience))).await {
            Some(ErrorKind::Budget) => refusals += 1,
            Some(ErrorKind::Unavailable) => sleep(Duration::from_millis(20)).await,
            _ => refusals = 0,
        }
    }
}

impl Stack {
    /// One call, by a client with so much patience.
    async fn call(&self, patience: Option<Duration>) -> Result<(), Error> {
        let call = Call {
            key: Some("k".into()),
            accounts: Arc::new(["global".into(), "key:k".into()]),
            limits: RateLimits {
                requests: Some(1_000_000),
                tokens: None,
            },
            ..Call::new("t")
        };
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        let request = ModelRequest {
            ctx: CallContext::new(call),
            ..question(number)
        };
        let deployment = Arc::new(deployment());
        let (rates, cache) = self.hot.clone().unzip();
        let stack = ServiceBuilder::new()
            .option_layer(rates)
            .option_layer(cache)
            .layer(BudgetLayer::new(deployment.clone(), self.book.clone()))
            .layer(CostLayer::new(deployment.clone(), self.ledger.clone()))
            .layer(TimeoutLayer::new(deployment, self.timeout))
            .service(self.upstream.clone());
        let answer = async {
            let mut body = stack.oneshot(request).await?.body;
            while let Some(frame) = body.next().await {
                frame?;
            }
            Ok(())
        };
        match patience {
            None => answer.await,
            Some(patience) => timeout(patience, answer)
                .await
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "the client left"))),
        }
    }
}

impl Tally {
    async fn count(&self, call: impl Future<Output = Result<(), Error>>) -> Option<ErrorKind> {
        let kind = call.await.err().map(|error| error.kind());
        let counter = match kind {
            None => &self.served,
            Some(ErrorKind::Budget) => &self.refused,
            Some(ErrorKind::Unavailable) => &self.unavailable,
            Some(_) => return kind,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        kind
    }

    fn end(&self, stands: Vec<Stands>) -> End {
        End {
            stands,
            served: self.served.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            unavailable: self.unavailable.load(Ordering::Relaxed),
        }
    }
}
