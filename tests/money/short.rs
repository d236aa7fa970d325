//! R34: a step that the budget does not allow is not taken, and the best answer so far comes back and says so.

use std::sync::Arc;

use rungs::{
    catalog::{Deployment, Money, Price, Targets, Tier},
    layers::{
        budget::BudgetLayer,
        cost::CostLayer,
        cross_check::{CrossCheckLayer, When},
        escalate::{EscalateLayer, OnStream, StandardJudge},
    },
    model::{
        Agreement, BoxModelService, Call, CallContext, ModelRequest, ModelResponse, OnExhaust,
        RouteHint,
    },
    route::Route,
    store::{
        Budgets,
        memory::{MemoryBudgets, MemoryLedger},
    },
    testing::{Reply, Scripted, ask, ask_stream},
};
use tower::{ServiceBuilder, ServiceExt};

const ACCOUNT: &str = "key:k";

/// Models, the last of which the budget does not reach.
struct Ladder {
    models: Vec<Scripted>,
    book: Arc<MemoryBudgets>,
    ledger: Arc<MemoryLedger>,
}

impl Ladder {
    fn new<const N: usize>(replies: [(Tier, Reply); N]) -> Self {
        let usd = |text: &str| text.parse().unwrap();
        let models = replies.into_iter().enumerate().map(|(n, (tier, reply))| {
            let price = match n + 1 < N {
                true => Price::per_million(usd("1"), usd("10")),
                false => Price::per_million(usd("100"), usd("1000")),
            };
            let deployment = Deployment {
                max_output: Some(1_000),
                ..Deployment::new("p", &format!("m{n}")).tier(tier)
            };
            Scripted::at(deployment.price(price), [reply])
        });
        let book = Arc::new(MemoryBudgets::new());
        // For some tries at a cent, and none at a dollar.
        book.set(ACCOUNT, vec!["0.5/total".parse().unwrap()]);
        Self {
            models: models.collect(),
            book,
            ledger: Arc::new(MemoryLedger::new(100)),
        }
    }

    /// Asks through all layers that have to do with it. Nobody has asked the last model, and what was spent is on record.
    async fn ask(&self, checked: When, on_exhaust: OnExhaust, request: ModelRequest) -> Told {
        let rings = self.models.iter().map(|model| {
            let deployment = model.deployment();
            let ring = ServiceBuilder::new()
                .layer(BudgetLayer::new(deployment.clone(), self.book.clone()))
                .layer(CostLayer::new(deployment.clone(), self.ledger.clone()))
                .service(model.clone());
            (deployment, BoxModelService::new(ring))
        });
        let stack = ServiceBuilder::new()
            .layer(CrossCheckLayer::new(checked))
            .layer(EscalateLayer::new(StandardJudge::new()).on_stream(OnStream::Buffer))
            .service(Route::new(rings.collect::<Vec<_>>()));
        let call = Call {
            accounts: Arc::new([ACCOUNT.into()]),
            on_exhaust,
            ..Call::new("t")
        };
        let targets = Targets::new(self.models.iter().map(Scripted::deployment));
        let request = ModelRequest {
            ctx: CallContext::new(call),
            ..request
        };
        let answer = stack.oneshot(request.route(RouteHint::to(targets)));
        let told = Told::of(answer.await.unwrap()).await;

        let (dear, asked) = self.models.split_last().unwrap();
        assert_eq!(dear.calls(), 0, "nobody could pay for it");
        assert!(asked.iter().all(|model| model.calls() == 1));
        let balance = self.book.balance(ACCOUNT).unwrap();
        let charged: Money = self.ledger.rows().iter().map(|row| row.cost).sum();
        let billed: Money = asked.iter().map(Scripted::bill).sum();
        assert!(billed > Money::ZERO);
        assert_eq!((balance.posted, charged), (billed, billed));
        assert_eq!(balance.reserved, Money::ZERO);
        told
    }
}

struct Told {
    text: String,
    notes: Vec<String>,
    agreement: Option<Agreement>,
}

impl Told {
    async fn of(answer: ModelResponse) -> Self {
        let ModelResponse { meta, body } = answer;
        let collected = body.collect(1 << 20).await.unwrap();
        let whole: serde_json::Value =
            serde_json::from_slice(&collected.to_whole().unwrap()).unwrap();
        let text = &whole["choices"][0]["message"]["content"];
        Self {
            text: text.as_str().unwrap().to_owned(),
            notes: meta.notes.iter().map(ToString::to_string).collect(),
            agreement: meta.verdict.map(|verdict| verdict.agreement),
        }
    }

    fn says_why(&self, what: &str) {
        let notes = &self.notes;
        let why = |note: &String| note.contains(what) && note.contains("budget of $0.5");
        assert!(notes.iter().any(why), "{notes:?}");
    }
}

const EACH: [OnExhaust; 2] = [OnExhaust::Refuse, OnExhaust::Downgrade];

fn half(text: &str) -> Reply {
    Reply::text(text).finish("length")
}

#[tokio::test]
async fn r34_a_climb_that_nobody_can_pay_for_leaves_the_best_answer() {
    for on_exhaust in EACH {
        for request in [ask("q"), ask_stream("q")] {
            let ladder = Ladder::new([(Tier::L0, half("a draft")), (Tier::L1, Reply::text("x"))]);
            let told = ladder.ask(When::Never, on_exhaust, request.clone()).await;
            assert_eq!(told.text, "a draft");
            told.says_why("");

            let ladder = Ladder::new([
                (Tier::L0, half("a draft")),
                (Tier::L1, half("a better draft")),
                (Tier::L2, Reply::text("x")),
            ]);
            let told = ladder.ask(When::Never, on_exhaust, request).await;
            assert_eq!(told.text, "a better draft");
            told.says_why("");
        }
    }
}

#[tokio::test]
async fn r34_a_review_that_nobody_can_pay_for_leaves_the_answer() {
    for on_exhaust in EACH {
        for request in [ask("q"), ask_stream("q")] {
            let ladder = Ladder::new([(Tier::L0, Reply::text("42")), (Tier::L0, Reply::text("x"))]);
            let told = ladder.ask(When::Always, on_exhaust, request.clone()).await;
            assert_eq!(told.text, "42");
            assert_eq!(told.agreement, Some(Agreement::Unchecked));
            told.says_why("not cross-checked: ");

            let objects = r#"{"agree": false, "confidence": 80, "issues": ["it is 42"]}"#;
            let ladder = Ladder::new([
                (Tier::L0, Reply::text("41")),
                (Tier::L0, Reply::text(objects)),
                (Tier::L1, Reply::text("x")),
            ]);
            let told = ladder.ask(When::Always, on_exhaust, request).await;
            assert_eq!(told.text, "41");
            assert!(matches!(told.agreement, Some(Agreement::Differ(_))));
            told.says_why("no arbiter decided");
        }
    }
}
