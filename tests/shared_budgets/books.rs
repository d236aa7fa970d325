use std::sync::Arc;

use redis::{AsyncCommands, aio::MultiplexedConnection};
use rungs::{
    Error, ErrorKind,
    catalog::Money,
    store::{
        Balance, Budgets, CostSource, Hold, Intent, Ledger, LedgerRow, LedgerSink, StoreFuture,
    },
};

/// Wrong: asks the ledger what was spent, and lets a call through if its worst case fits.
pub(crate) struct CheckThenAdd {
    pub(crate) ledger: Arc<dyn LedgerSink>,
    pub(crate) limit: Money,
    pub(crate) like: Arc<dyn Budgets>,
}

impl Budgets for CheckThenAdd {
    fn hold(&self, _: &[Arc<str>], _: Money) -> Result<Hold, Error> {
        Err(Error::new(ErrorKind::Budget, "it must be looked up"))
    }

    fn wait<'a>(&'a self, _: &'a [Arc<str>], amount: Money) -> Option<StoreFuture<'a, Hold>> {
        Some(Box::pin(async move {
            let at = std::time::SystemTime::now();
            let spent = self
                .ledger
                .spent("global", std::time::UNIX_EPOCH, None)
                .await?;
            match spent + amount <= self.limit {
                true => Ok(Hold {
                    amount,
                    at,
                    serial: 0,
                }),
                false => Err(Error::new(ErrorKind::Budget, "there is no room")),
            }
        }))
    }

    fn settle(&self, _: &[Arc<str>], _: Hold, _: Money) {}

    fn balance(&self, account: &str) -> Option<Balance> {
        self.like.balance(account)
    }
}

/// Wrong: a counter of what is held and spent, in a store that may forget it.
pub(crate) struct RedisCounter {
    pub(crate) redis: MultiplexedConnection,
    pub(crate) limit: Money,
    pub(crate) like: Arc<dyn Budgets>,
}

async fn add(mut redis: MultiplexedConnection, nanos: i64) -> Result<i64, Error> {
    let sum = redis.incr("spent", nanos).await;
    sum.map_err(|e| Error::new(ErrorKind::Unavailable, "the counter is away").with_source(e))
}

impl Budgets for RedisCounter {
    fn hold(&self, _: &[Arc<str>], _: Money) -> Result<Hold, Error> {
        Err(Error::new(ErrorKind::Budget, "it must be counted"))
    }

    fn wait<'a>(&'a self, _: &'a [Arc<str>], amount: Money) -> Option<StoreFuture<'a, Hold>> {
        Some(Box::pin(async move {
            let at = std::time::SystemTime::now();
            if add(self.redis.clone(), amount.nanos()).await? <= self.limit.nanos() {
                return Ok(Hold {
                    amount,
                    at,
                    serial: 0,
                });
            }
            add(self.redis.clone(), -amount.nanos()).await?;
            Err(Error::new(ErrorKind::Budget, "there is no room"))
        }))
    }

    fn settle(&self, _: &[Arc<str>], hold: Hold, spent: Money) {
        let settled = add(self.redis.clone(), spent.nanos() - hold.amount.nanos());
        #[expect(clippy::disallowed_methods, reason = "it ends with the process")]
        drop(tokio::spawn(settled));
    }

    fn balance(&self, account: &str) -> Option<Balance> {
        self.like.balance(account)
    }
}

/// Wrong: what was cut is given back whole.
pub(crate) struct ReleaseOnCut(pub(crate) Arc<dyn Budgets>);

impl Budgets for ReleaseOnCut {
    fn hold(&self, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Error> {
        self.0.hold(accounts, amount)
    }

    fn wait<'a>(
        &'a self,
        accounts: &'a [Arc<str>],
        amount: Money,
    ) -> Option<StoreFuture<'a, Hold>> {
        self.0.wait(accounts, amount)
    }

    fn settle(&self, accounts: &[Arc<str>], hold: Hold, spent: Money) {
        let spent = if spent == hold.amount {
            Money::ZERO
        } else {
            spent
        };
        self.0.settle(accounts, hold, spent);
    }

    fn balance(&self, account: &str) -> Option<Balance> {
        self.0.balance(account)
    }
}

/// Wrong, with the book above: a row that nothing explains says that nothing was spent.
pub(crate) struct Forgiving(pub(crate) Arc<dyn Ledger>);

impl Ledger for Forgiving {
    fn begin(&self, row: &LedgerRow) -> Result<Intent, Error> {
        self.0.begin(row)
    }

    fn end(&self, intent: Intent, mut row: LedgerRow) {
        if row.source == CostSource::Unknown {
            row.cost = Money::ZERO;
        }
        self.0.end(intent, row);
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.0.flush()
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: std::time::SystemTime,
        until: Option<std::time::SystemTime>,
    ) -> StoreFuture<'a, Money> {
        self.0.spent(account, since, until)
    }
}
