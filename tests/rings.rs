//! What the attempt ring promises as a whole, as its docs write it out.
#![cfg(feature = "testing")]

use std::sync::Arc;

use rungs::{
    ErrorKind, ServiceBuilderExt,
    catalog::{Deployment, Money, Price},
    layers::breaker::{BreakerConfig, BreakerState},
    model::{BoxModelService, Call, CallContext, ModelRequest},
    store::{
        Budgets, CostSource, LedgerRow,
        memory::{MemoryBudgets, MemoryLedger},
    },
    testing::{Reply, Scripted, ask, ask_stream},
};
use tower::{ServiceBuilder, ServiceExt};

const ACCOUNT: &str = "key:k";

/// The attempt ring of a provider whose tokens have a price, and what it leaves behind.
struct Ring {
    provider: Scripted,
    ledger: Arc<MemoryLedger>,
    book: Arc<MemoryBudgets>,
    breaker: BreakerState,
    service: BoxModelService,
}

impl Ring {
    fn new(reply: Reply) -> Self {
        let usd = |text: &str| text.parse().expect("dollars");
        let deployment = Deployment {
            max_output: Some(100),
            ..Deployment::new("p", "m").price(Price::per_million(usd("1"), usd("10")))
        };
        let provider = Scripted::at(deployment, [reply]);
        let deployment = provider.deployment();
        let ledger = Arc::new(MemoryLedger::new(100));
        let book = Arc::new(MemoryBudgets::new());
        book.set(ACCOUNT, vec!["1/day".parse().expect("a budget")]);
        let config = BreakerConfig {
            failures: 2,
            ..BreakerConfig::default()
        };
        let breaker = BreakerState::new(deployment.id.clone(), config);
        let service = ServiceBuilder::new()
            .breaker(breaker.clone())
            .retries(Default::default())
            .budget(deployment.clone(), book.clone())
            .cost(deployment.clone(), ledger.clone())
            .timeouts(deployment, Default::default())
            .ring(provider.clone());
        Self {
            provider,
            ledger,
            book,
            breaker,
            service,
        }
    }

    /// Asks with an account, and tells what the call knows in the end.
    async fn ask(&self, question: ModelRequest) -> (CallContext, ErrorKind) {
        let ctx = CallContext::new(Call {
            accounts: Arc::new([ACCOUNT.into()]),
            max_attempts: 2,
            ..Call::new("t")
        });
        let request = ModelRequest {
            ctx: ctx.clone(),
            ..question
        };
        let error = self.service.clone().oneshot(request).await.err();
        (ctx, error.expect("no answer").kind())
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_paid_counted_and_left_alone() {
    for question in [ask("q"), ask_stream("q")] {
        let ring = Ring::new(Reply::hang());
        let (ctx, kind) = ring.ask(question.clone()).await;
        assert_eq!(kind, ErrorKind::Timeout);
        assert_eq!((ctx.attempts(), ring.provider.calls()), (2, 2));
        let rows = ring.ledger.rows();
        let worst = |row: &LedgerRow| row.cost > Money::ZERO && row.source == CostSource::Unknown;
        assert!(rows.len() == 2 && rows.iter().all(worst), "{rows:?}");
        let spent: Money = rows.iter().map(|row| row.cost).sum();
        let balance = ring.book.balance(ACCOUNT).expect("a budget");
        assert_eq!((balance.posted, balance.reserved), (spent, Money::ZERO));
        assert_eq!(ctx.spent(), spent);
        ring.ask(question).await;
        assert!(ring.breaker.is_open());
    }
}
