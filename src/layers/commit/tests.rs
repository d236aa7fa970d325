use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tower::{Layer, ServiceExt, service_fn};

use super::CommitLayer;
use crate::{
    catalog::{Deployment, Money, Price},
    error::{Error, ErrorKind},
    layers::{cost::CostLayer, idempotency::IdempotencyLayer},
    model::{Call, CallContext, Frame, ModelRequest, ModelResponse, ModelService},
    store::{
        Durability, Intent, Ledger, LedgerRow, Spool, StoreFuture, Topic,
        memory::{MemoryIdempotency, MemoryLedger},
    },
    testing::{Reply, Scripted, ask, ask_stream, named},
};

/// A ledger whose disk answers when it is told to.
struct Slow {
    rows: MemoryLedger,
    disk: watch::Sender<Option<Result<(), Error>>>,
    asked: Mutex<Vec<Durability>>,
    early: AtomicBool,
}

impl Slow {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rows: MemoryLedger::new(10),
            disk: watch::Sender::new(None),
            asked: Mutex::default(),
            early: AtomicBool::default(),
        })
    }

    fn answer(&self, result: Result<(), Error>) {
        self.disk.send_replace(Some(result));
    }

    fn asked(&self) -> Vec<Durability> {
        self.asked.lock().unwrap().clone()
    }
}

impl Ledger for Slow {
    fn end(&self, intent: Intent, row: LedgerRow) {
        self.rows.end(intent, row);
    }

    fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        self.early
            .fetch_or(self.rows.rows().is_empty(), Ordering::Relaxed);
        self.asked.lock().unwrap().push(what);
        let mut disk = self.disk.subscribe();
        Some(Box::pin(async move {
            let answer = disk.wait_for(Option::is_some).await.unwrap();
            answer.clone().unwrap()
        }))
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.rows.flush()
    }

    fn spent<'a>(
        &'a self,
        account: &'a str,
        since: SystemTime,
        until: Option<SystemTime>,
    ) -> StoreFuture<'a, Money> {
        self.rows.spent(account, since, until)
    }
}

fn priced(reply: Reply) -> Scripted {
    let price = Price::per_million(Money::from_nanos(1), Money::from_nanos(2));
    let deployment = Deployment {
        max_output: Some(1000),
        ..Deployment::new("p", "m").price(price)
    };
    Scripted::at(deployment, [reply])
}

fn stack(ledger: &Arc<Slow>, reply: Reply) -> impl ModelService {
    let provider = priced(reply);
    let cost = CostLayer::new(provider.deployment(), ledger.clone());
    CommitLayer::new(ledger.clone()).layer(cost.layer(provider))
}

#[tokio::test]
async fn a_whole_answer_waits_for_its_row() {
    let ledger = Slow::new();
    let mut answer = Box::pin(stack(&ledger, Reply::text("42")).oneshot(ask("6 x 7?")));
    assert!(answer.as_mut().now_or_never().is_none());
    assert_eq!(ledger.asked(), [Durability::PowerLoss]);
    assert_eq!(ledger.rows.rows().len(), 1, "the row is what it waits for");
    ledger.answer(Ok(()));
    let answer = answer.await.unwrap().body.collect(1000).await.unwrap();
    assert!(answer.to_whole().unwrap().starts_with(b"{"));
}

#[tokio::test]
async fn of_a_stream_only_the_end_waits() {
    let ledger = Slow::new();
    let answer = stack(&ledger, Reply::text("one two three")).oneshot(ask_stream("count"));
    let mut body = answer.await.unwrap().body;
    let mut frames = 0;
    while let Some(Some(frame)) = body.next().now_or_never() {
        assert!(matches!(frame.unwrap(), Frame::Data(_)));
        frames += 1;
    }
    assert!(frames >= 3, "{frames}");
    assert_eq!(ledger.rows.rows().len(), 1);
    ledger.answer(Ok(()));
    assert!(matches!(body.next().await.unwrap(), Ok(Frame::End(_))));
    assert!(body.next().await.is_none());
    assert!(!ledger.early.load(Ordering::Relaxed));
}

#[tokio::test]
async fn an_end_that_cannot_be_recorded_is_a_failure() {
    for request in [ask("6 x 7?"), ask_stream("6 x 7?")] {
        let ledger = Slow::new();
        ledger.answer(Err(Error::new(ErrorKind::Unavailable, "the disk is full")));
        let answer = stack(&ledger, Reply::text("42")).oneshot(request).await;
        let failed = match answer {
            Ok(answer) => answer.body.collect(1000).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(failed.kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn what_has_cost_nothing_passes_without_a_record() {
    for request in [ask("6 x 7?"), ask_stream("6 x 7?")] {
        let ledger = Slow::new();
        ledger.answer(Err(Error::new(ErrorKind::Unavailable, "the disk is full")));
        let provider = Scripted::at(
            Deployment::new("p", "m").price(Price::FREE),
            [Reply::text("42")],
        );
        let cost = CostLayer::new(provider.deployment(), ledger.clone());
        let stack = CommitLayer::new(ledger.clone()).layer(cost.layer(provider));
        let answer = stack.oneshot(request).await.unwrap();
        assert!(answer.body.collect(1000).await.is_ok());
        assert_eq!(ledger.rows.rows().len(), 1);
    }
}

#[tokio::test]
async fn what_has_cost_nothing_need_only_outlive_the_process() {
    let ledger = Slow::new();
    ledger.answer(Ok(()));
    let free = service_fn(|_: ModelRequest| async {
        Err::<ModelResponse, _>(Error::new(ErrorKind::Budget, "spent"))
    });
    let stack = CommitLayer::new(ledger.clone()).layer(free);
    let error = stack.oneshot(ask("6 x 7?")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget, "the error passes");
    assert_eq!(ledger.asked(), [Durability::Crash]);
}

/// A spool whose disk answers when the ledger's does.
struct Spooled(Arc<Slow>);

impl Spool for Spooled {
    fn add(&self, _: Topic, _: Vec<u8>) -> u64 {
        0
    }

    fn done(&self, _: &[u64]) {}

    fn has_room(&self) -> bool {
        true
    }

    fn survives(&self, what: Durability) -> Option<StoreFuture<'static, ()>> {
        self.0.survives(what)
    }

    fn left(&self, _: Topic) -> Vec<(u64, Vec<u8>)> {
        Vec::new()
    }
}

#[tokio::test]
async fn who_leaves_something_in_the_spool_waits_for_it_and_nobody_else() {
    let named = Call {
        idempotency: Some("n".into()),
        ..Call::new("t")
    };
    let said = Call {
        conversation: Some("c".into()),
        ..Call::new("t")
    };
    for (call, waits) in [(Call::new("t"), false), (named, true), (said, true)] {
        let (ledger, spool) = (Slow::new(), Slow::new());
        ledger.answer(Ok(()));
        let stack = CommitLayer::new(ledger)
            .spool(Arc::new(Spooled(Arc::clone(&spool))))
            .layer(Scripted::new(Reply::text("42")));
        let request = ModelRequest {
            ctx: CallContext::new(call),
            ..ask("6 x 7?")
        };
        let mut answer = Box::pin(stack.oneshot(request));
        let early = answer.as_mut().now_or_never();
        assert_eq!(early.is_none(), waits);
        assert_eq!(spool.asked(), [Durability::Crash][..usize::from(waits)]);
        if waits {
            // An answer is not taken back because its turn is in memory alone.
            spool.answer(Err(Error::new(ErrorKind::Unavailable, "the disk is full")));
            answer.await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_repeats_a_call_is_told_no_sooner_than_who_paid_for_it() {
    let cut = Error::new(ErrorKind::Cut, "it broke off");
    let failing = Reply::text("a b c").fail_after(2, cut);
    for (reply, kept) in [(Reply::text("42"), None), (failing, Some(ErrorKind::Cut))] {
        let (ledger, spool) = (Slow::new(), Slow::new());
        ledger.answer(Ok(()));
        let provider = priced(reply);
        let cost = CostLayer::new(provider.deployment(), ledger.clone());
        let names = IdempotencyLayer::new(Arc::new(MemoryIdempotency::new(1 << 20)));
        let stack = CommitLayer::new(ledger)
            .spool(Arc::new(Spooled(Arc::clone(&spool))))
            .layer(names.layer(cost.layer(provider.clone())));
        let call = || {
            let answering = stack.clone().oneshot(named("n", ask_stream("6 x 7?")));
            Box::pin(async { answering.await?.body.collect(9999).await })
        };
        let (mut first, mut repetition) = (call(), call());
        for told in [&mut first, &mut repetition] {
            assert!(told.now_or_never().is_none());
        }
        assert_eq!(spool.asked(), [Durability::PowerLoss; 2]);
        spool.answer(Ok(()));
        for told in [first.await, repetition.await] {
            assert_eq!(told.err().map(|error| error.kind()), kept);
        }
        assert_eq!(provider.calls(), 1);
    }
}

#[tokio::test]
async fn nobody_is_told_an_answer_whose_row_may_be_lost() {
    let full = || Err(Error::new(ErrorKind::Unavailable, "the disk is full"));
    let call = || named("n", ask("6 x 7?"));
    let ledger = Slow::new();
    ledger.answer(full());
    let provider = priced(Reply::text("42"));
    let cost = CostLayer::new(provider.deployment(), ledger.clone());
    let names = IdempotencyLayer::new(Arc::new(MemoryIdempotency::new(1 << 20)));
    let stack = CommitLayer::new(ledger.clone()).layer(names.layer(cost.layer(provider.clone())));
    for _ in 0..2 {
        let told = stack.clone().oneshot(call()).await;
        assert_eq!(told.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    ledger.answer(Ok(()));
    assert!(stack.oneshot(call()).await.unwrap().meta.replayed);
    assert_eq!(provider.calls(), 1);

    // A refusal that cost nothing says what it says.
    ledger.answer(full());
    let refusing = service_fn(|_: ModelRequest| async {
        Err::<ModelResponse, _>(Error::new(ErrorKind::RateLimited, "later"))
    });
    let refused = CommitLayer::new(ledger).layer(refusing).oneshot(call());
    assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::RateLimited);
}
