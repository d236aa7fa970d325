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
    },
    model::{Call, CallContext, ModelRequest, RateLimits},
    store::{
        Budgets, Ledger, OnStoreDown,
        journal::Journal,
        memory::MemoryCache,
        postgres::{LeaseTerms, LeasedBudgets, PostgresLedger, PostgresStore},
        redis::{Redis, RedisCache, RedisConfig, RedisRates, RedisUrl},
    },
    testing::ask_stream,
};
use tokio::time::{sleep, timeout};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    books::{CheckThenAdd, Forgiving, RedisCounter, ReleaseOnCut},
    part::{Book, Calls, End, Part},
    upstream::{Upstream, deployment, question},
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
    let store = PostgresStore::new(&part.url, 4).expect("a URL");
    while store.connect().await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    let terms = LeaseTerms {
        folder: Some(part.folder.clone()),
        // On a busy computer a hundred calls at once take a while to be told apart.
        patience: Duration::from_millis(match part.calls {
            Calls::AtOnce => 1_500,
            Calls::Random => 250,
        }),
        ..LeaseTerms::default()
    };
    let leased = Arc::new(LeasedBudgets::open(&store, terms).expect("leases"));
    let ledger = store.ledger(leased.holder());
    let journal = journal(part, &ledger).await;
    journal.flush().await.expect("it is written");
    leased.recorded_by(journal.clone());
    leased.replayed();
    let limit = Money::from_nanos(part.limit);
    for (account, limit) in [
        ("key:k", limit),
        ("global", Money::from_nanos(part.limit * 10)),
    ] {
        let budget = format!("{limit}/total").parse().expect("a budget");
        leased.set(account, vec![budget], OnStoreDown::Closed);
    }
    let book: Arc<dyn Budgets> = match part.book {
        Book::Leased => leased.clone(),
        Book::ReleaseOnCut => Arc::new(ReleaseOnCut(leased.clone())),
        Book::CheckThenAdd => Arc::new(CheckThenAdd {
            ledger: ledger.clone(),
            limit,
            like: leased.clone(),
        }),
        Book::RedisCounter => Arc::new(RedisCounter {
            redis: counter(part).await,
            limit,
            like: leased.clone(),
        }),
    };
    let stack = Stack {
        book,
        ledger: match part.book {
            Book::ReleaseOnCut => Arc::new(Forgiving(journal.clone())),
            _ => journal.clone(),
        },
        upstream: Upstream::new(&part.bill, part.calls, part.seed),
        hot: match &part.redis {
            Some(url) => Some(hot(url).await),
            None => None,
        },
        questions: Arc::new(AtomicU64::new(part.seed << 32)),
    };
    let tally = Tally::default();
    let calls = async {
        match part.calls {
            Calls::AtOnce => {
                std::fs::write(part.folder.join("ready"), "").expect("a file");
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
    };
    calls.await;
    // Rows that a database is away for stay in the journal; here they are waited for.
    journal.flush().await.expect("it is written");
    journal.close().await;
    while leased.close().await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    tally.end()
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

async fn journal(part: &Part, ledger: &PostgresLedger) -> Arc<Journal> {
    loop {
        let sink = Arc::new(ledger.clone());
        match Journal::open(&part.folder.join("journal"), sink, &[7; 32]).await {
            Ok(journal) => return Arc::new(journal),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => unreachable!("{error:?}"),
        }
    }
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
            ..ask_stream(&question(number))
        };
        let deployment = Arc::new(deployment());
        let (rates, cache) = self.hot.clone().unzip();
        let stack = ServiceBuilder::new()
            .option_layer(rates)
            .option_layer(cache)
            .layer(BudgetLayer::new(deployment.clone(), self.book.clone()))
            .layer(CostLayer::new(deployment, self.ledger.clone()))
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

    fn end(&self) -> End {
        End {
            served: self.served.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            unavailable: self.unavailable.load(Ordering::Relaxed),
        }
    }
}
