use std::{sync::Arc, time::Duration};

use rungs::{
    ErrorKind,
    catalog::{Deployment, Money, Price},
    layers::budget::BudgetLayer,
    model::{Call, CallContext, ModelRequest},
    store::{
        Budgets, Ledger,
        memory::{MemoryBudgets, MemoryLedger},
    },
    testing::{Reply, Scripted, ask, ledger_contract::row},
};
use tower::{ServiceBuilder, ServiceExt};

use super::*;

struct World {
    accounts: Arc<Accounts>,
    users: Arc<Users>,
    ledger: Arc<MemoryLedger>,
    provider: Scripted,
}

const HOUR: Duration = Duration::from_secs(3_600);

impl World {
    fn new() -> Self {
        let ledger = Arc::new(MemoryLedger::default());
        let price = Price::per_million("1".parse().unwrap(), "1".parse().unwrap());
        let deployment = Deployment {
            max_output: Some(10),
            ..Deployment::new("p", "m").price(price)
        };
        Self {
            accounts: Arc::new(Accounts::new(Book::Own(Arc::default()), ledger.clone())),
            users: Arc::default(),
            ledger,
            provider: Scripted::at(deployment, [Reply::text("42")]),
        }
    }

    async fn call(&self, user: &str, budget: &str) -> Result<(), rungs::Error> {
        self.call_on(1, user, budget).await
    }

    async fn call_on(&self, ring: u64, user: &str, budget: &str) -> Result<(), rungs::Error> {
        let layer = UsersLayer {
            each: Arc::new(vec![budget.parse().unwrap()].into()),
            accounts: self.accounts.clone(),
            users: self.users.clone(),
            ring,
            patience: HOUR,
        };
        let book: Arc<dyn Budgets> = self.accounts.budgets();
        let stack = ServiceBuilder::new()
            .layer(layer)
            .layer(BudgetLayer::new(self.provider.deployment(), book))
            .service(self.provider.clone());
        let call = Call {
            user: Some(user.into()),
            accounts: Arc::new([of_user("t", user)]),
            ..Call::new("t")
        };
        let request = ModelRequest {
            ctx: CallContext::new(call),
            ..ask("6 x 7?")
        };
        stack.oneshot(request).await?.body.collect(1 << 20).await?;
        Ok(())
    }

    fn spent(&self, user: &str) -> Option<Money> {
        let balance = self.accounts.budgets().balance(&of_user("t", user));
        balance.map(|balance| balance.posted)
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_account_begins_with_what_the_ledger_knows() {
    let world = World::new();
    let mut before = row("req_1", 1, 999_999_999, Duration::ZERO);
    before.accounts = Arc::new([of_user("t", "ann")]);
    world.ledger.record(before);
    let refused = world.call("ann", "1/day").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Budget);
    world.call("bob", "1/day").await.unwrap();
    world.call("bob", "1/day").await.unwrap();
    assert_eq!(world.provider.calls(), 2);
    assert!(world.spent("bob").unwrap() > Money::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_changes_is_in_force_with_the_next_call() {
    let world = World::new();
    world.call("ann", "1/day").await.unwrap();
    let spent = world.spent("ann");
    let small = "0.000000001/day";
    assert!(world.call_on(1, "ann", small).await.is_ok(), "not told yet");
    assert!(world.call_on(2, "ann", small).await.is_err());
    assert!(world.spent("ann") > spent, "what was spent stays");
}

#[tokio::test(start_paused = true)]
async fn a_call_of_before_a_reload_leaves_its_budgets_to_nobody() {
    let world = World::new();
    let small = "0.000000001/day";
    let rings = [world.users.next_ring(), world.users.next_ring()];
    // Whose first call was under way when the budgets changed.
    world.call_on(rings[0], "ann", "1/day").await.unwrap();
    world.call_on(rings[1], "ann", small).await.unwrap_err();
    // And whose old call finds the new budgets in force.
    world.call_on(rings[1], "bob", small).await.unwrap_err();
    world.call_on(rings[0], "bob", "1/day").await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn idle_users_are_forgotten_and_busy_ones_are_not() {
    let world = World::new();
    for n in 0..3_000 {
        world.call(&format!("user{n}"), "1/day").await.unwrap();
        world.call("busy", "1/day").await.unwrap();
        tokio::time::advance(HOUR / 100).await;
    }
    let open = world.accounts.book().accounts().len();
    assert!(open < 2_200, "{open} accounts");
    assert!(world.spent("busy").unwrap() > Money::ZERO);
    assert_eq!(world.spent("user0"), None);
    assert!(world.spent("user2999").is_some());
}

#[tokio::test(start_paused = true)]
async fn few_users_are_forgotten_too_when_it_is_time() {
    let world = World::new();
    world.call("idle", "1/day").await.unwrap();
    for _ in 0..3 {
        tokio::time::advance(HOUR * 2 / 3).await;
        world.call("busy", "1/day").await.unwrap();
    }
    assert_eq!(world.spent("idle"), None);
    assert!(world.spent("busy").is_some());
}

#[tokio::test(start_paused = true)]
async fn whoever_invents_users_is_stopped_and_stops_no_other_tenant() {
    let world = World::new();
    world.call("ann", "1/day").await.unwrap();
    let fill = |tenant: &str, from| {
        for n in from..users::MOST {
            let account = of_user(tenant, &n.to_string());
            let forget = |_| ();
            let open = world.users.visit(&tenant.into(), &account, 1, HOUR, forget);
            assert!(!open.unwrap());
        }
    };
    fill("other", 0);
    world.call("bob", "1/day").await.unwrap();
    fill("t", 2);
    let error = world.call("eve", "1/day").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.get_retry_after(), Some(HOUR));
    assert_eq!(world.spent("eve"), None);
    world.call("ann", "1/day").await.unwrap();
    tokio::time::advance(HOUR * 2).await;
    world.call("eve", "1/day").await.unwrap();
}

#[tokio::test]
async fn other_budgets_begin_with_what_was_spent_in_their_windows() {
    let (book, ledger) = (
        Arc::new(MemoryBudgets::new()),
        Arc::new(MemoryLedger::default()),
    );
    let accounts = Accounts::new(Book::Own(book.clone()), ledger.clone());
    let parse = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| text.parse().unwrap())
            .collect::<Vec<_>>()
    };
    ledger.record(row("req_1", 1, 7, Duration::ZERO));
    accounts
        .open("key:k_1", &parse(&["1/day"]).into())
        .await
        .unwrap();
    ledger.record(row("req_2", 1, 5, Duration::ZERO));
    let hold = book
        .hold(&["key:k_1".into()], Money::from_nanos(9))
        .unwrap();
    let wider = parse(&["2/day", "3/total", "4/month@31 Asia/Tokyo"]);
    for _ in 0..2 {
        // Asked again it changes nothing.
        accounts
            .open("key:k_1", &wider.clone().into())
            .await
            .unwrap();
        let stands = book.balances("key:k_1");
        let posted: Vec<_> = stands.iter().map(|b| b.posted.nanos()).collect();
        assert_eq!(
            posted[..2],
            [7, 12],
            "the day's went on, the other is the ledger's"
        );
        assert!(stands.iter().all(|balance| balance.reserved == hold.amount));
        assert!(stands.iter().map(|balance| &balance.budget).eq(&wider));
    }
    accounts.retain(|account| account != "key:k_1");
    assert!(book.balances("key:k_1").is_empty());
}

#[tokio::test]
async fn terms_that_are_prepared_only_make_nothing_wider_and_leave_nothing() {
    let book = Arc::new(MemoryBudgets::new());
    let ledger = Arc::new(MemoryLedger::default());
    let accounts = Accounts::new(Book::Own(book.clone()), ledger.clone());
    let terms = |texts: &[&str]| -> Terms {
        let budgets: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
        budgets.into()
    };
    let stands = || -> Vec<(String, i64)> {
        let balances = book.balances("key:k_1");
        let told = |b: &rungs::store::Balance| (b.budget.to_string(), b.posted.nanos());
        balances.iter().map(told).collect()
    };
    ledger.record(row("req_1", 1, 7, Duration::ZERO));
    let old = [("1/day".to_owned(), 7)];
    accounts.open("key:k_1", &terms(&["1/day"])).await.unwrap();
    for commits in [false, true] {
        let wanted = [
            ("key:k_1".into(), terms(&["2/day", "3/total"])),
            (GLOBAL.into(), terms(&["9/day"])),
        ];
        let opening = accounts.prepare(wanted.into()).await.unwrap();
        assert_eq!(stands(), [old[0].clone(), ("3/total".to_owned(), 7)]);
        match commits {
            false => {
                drop(opening);
                assert_eq!(stands(), old);
                assert!(book.balances(GLOBAL).is_empty());
            }
            true => {
                opening.commit();
                assert_eq!(
                    stands(),
                    [("2/day".to_owned(), 7), ("3/total".to_owned(), 7)]
                );
                assert_eq!(book.balances(GLOBAL).len(), 1);
            }
        }
    }
}

#[test]
fn accounts_are_named_apart() {
    assert_eq!(&*of_key("k"), "key:k");
    assert_eq!(&*of_user("t", "a/b"), "user:t/a/b");
    assert_eq!(&*of_project("p"), "project:p");
    assert_ne!(of_key("x"), of_project("x"));
}

/// A ledger that does not say what was spent until it may.
struct Slow(MemoryLedger, tokio::sync::Semaphore);

impl Ledger for Slow {
    fn end(&self, intent: rungs::store::Intent, row: rungs::store::LedgerRow) {
        self.0.end(intent, row);
    }

    fn flush(&self) -> rungs::store::StoreFuture<'_, ()> {
        self.0.flush()
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: std::time::SystemTime,
        until: Option<std::time::SystemTime>,
    ) -> rungs::store::StoreFuture<'a, Money> {
        Box::pin(async move {
            let _may = self.1.acquire().await;
            self.0.spent(account, since, until).await
        })
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_account_is_opened_gets_no_budget_anew() {
    let ledger = Arc::new(Slow(
        MemoryLedger::default(),
        tokio::sync::Semaphore::new(0),
    ));
    ledger.record(row("req_1", 1, 7, Duration::ZERO));
    let accounts = Accounts::new(Book::Own(Arc::default()), ledger.clone());
    let terms: Terms = vec!["1/total".parse().unwrap()].into();
    let mut opening = Box::pin(accounts.open("key:k_1", &terms));
    assert!(futures_util::poll!(&mut opening).is_pending());
    drop(opening);
    assert!(accounts.budgets().balance("key:k_1").is_none());
    ledger.1.add_permits(1);
    accounts.open("key:k_1", &terms).await.unwrap();
    let balance = accounts.budgets().balance("key:k_1").unwrap();
    assert_eq!(balance.posted.nanos(), 7);
}

#[tokio::test]
async fn a_key_does_not_wait_for_users_whose_accounts_are_opened() {
    let ledger = Arc::new(Slow(
        MemoryLedger::default(),
        tokio::sync::Semaphore::new(0),
    ));
    let accounts = Accounts::new(Book::Own(Arc::default()), ledger);
    let terms: Terms = vec!["1/day".parse().unwrap()].into();
    let user = of_user("t", "ann");
    let mut opening = Box::pin(accounts.open(&user, &terms));
    assert!(futures_util::poll!(&mut opening).is_pending());
    let key = [(of_key("k"), Terms::default())].into();
    let mut prepared = Box::pin(accounts.prepare(key));
    assert!(futures_util::poll!(&mut prepared).is_ready());
}

/// What a clock has written that was ahead is of windows to come; while it is ahead, it is of the window of now.
#[tokio::test]
async fn a_budget_begins_with_what_was_spent_in_its_window_by_the_time_of_the_book() {
    const AHEAD: Duration = Duration::from_secs(3 * 365 * 86_400);
    let ledger = Arc::new(MemoryLedger::default());
    let ahead = std::time::SystemTime::now() + AHEAD;
    ledger.record(row("req_1", 1, 7, Duration::ZERO));
    ledger.record(rungs::store::LedgerRow {
        started: ahead,
        ..row("req_2", 1, 50, Duration::ZERO)
    });
    let budgets = ["1/day", "1/month", "1/total"].map(|budget| budget.parse().unwrap());
    for (book, posted) in [
        (MemoryBudgets::new(), [7, 7, 57]),
        (MemoryBudgets::with_clock(move || ahead), [50, 50, 57]),
    ] {
        let book = Arc::new(book);
        let accounts = Accounts::new(Book::Own(book.clone()), ledger.clone());
        let terms: Terms = budgets.to_vec().into();
        accounts.open("key:k_1", &terms).await.unwrap();
        let balances = book.balances("key:k_1").into_iter();
        let begun: Vec<_> = balances.map(|b| b.posted.nanos()).collect();
        assert_eq!(begun, posted);
    }
}
