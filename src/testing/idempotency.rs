#![expect(clippy::panic, reason = "a contract fails by a panic, as a test does")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, ErrorKind},
    model::{Collected, End},
    store::{Begun, IdempotencyStore, KeptCall, KeptOutcome, Question, Remarks},
};

const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(86_400);

/// A call that asked `question` and was answered with `text`.
#[must_use]
pub fn kept(question: Question, text: &'static str) -> Arc<KeptCall> {
    Arc::new(KeptCall {
        question,
        outcome: KeptOutcome::Answer {
            deployment: Some("p/m".into()),
            remarks: Remarks::default(),
            answer: Collected {
                whole: true,
                data: vec![Bytes::from_static(text.as_bytes())],
                end: End::default(),
            },
        },
    })
}

/// A name is claimed once, waits, and is answered; what was given up or failed can be claimed again; what has expired too.
///
/// # Panics
/// When the store breaks its contract.
pub async fn idempotency_store(store: &dyn IdempotencyStore) {
    let (question, other) = ([1; 32], [2; 32]);
    let begin = async |key: u8, question: Question, patience| {
        let begun = store.begin(&[key; 32], &question, patience).await;
        begun.expect("the store answers")
    };
    let claim = async |key: u8| match begin(key, question, LATER).await {
        Begun::New(claim) => claim,
        begun => panic!("not free: {begun:?}"),
    };

    let first = claim(1).await;
    let start = Instant::now();
    assert!(matches!(begin(1, question, SOON).await, Begun::Busy));
    assert!(start.elapsed() >= SOON - Duration::from_millis(20));
    assert!(matches!(begin(1, other, LATER).await, Begun::Different));
    claim(2).await;

    let waiting = begin(1, question, LATER);
    let finishing = async {
        sleep(SOON).await;
        store.finish(&[1; 32], first, kept(question, "42"), DAY);
    };
    let (begun, ()) = futures_util::future::join(waiting, finishing).await;
    assert_eq!(text(&begun), "42", "who waits gets the answer");
    assert_eq!(text(&begin(1, question, SOON).await), "42");
    assert!(matches!(begin(1, other, SOON).await, Begun::Different));
    store.finish(&[1; 32], first, kept(question, "43"), DAY);
    store.abandon(&[1; 32], first, None);
    assert_eq!(
        text(&begin(1, question, SOON).await),
        "42",
        "a claim ends once"
    );

    let third = claim(3).await;
    let waiting = begin(3, question, LATER);
    let failing = async {
        sleep(SOON).await;
        let error = Error::new(ErrorKind::Upstream, "no");
        store.abandon(&[3; 32], third, Some(&error));
    };
    let (begun, ()) = futures_util::future::join(waiting, failing).await;
    match begun {
        Begun::Failed(error) => assert_eq!(error.message(), "no"),
        // In another process it may only be seen that the claim is gone.
        Begun::New(claim) => store.abandon(&[3; 32], claim, None),
        begun => panic!("{begun:?}"),
    }
    let fourth = claim(3).await;
    store.abandon(&[3; 32], third, None);
    assert!(
        matches!(begin(3, question, SOON).await, Begun::Busy),
        "an old claim ends nothing"
    );
    let waiting = begin(3, question, LATER);
    let leaving = async {
        sleep(SOON).await;
        store.abandon(&[3; 32], fourth, None);
    };
    let (begun, ()) = futures_util::future::join(waiting, leaving).await;
    assert!(
        matches!(begun, Begun::New(_)),
        "who waits carries it out: {begun:?}"
    );

    let fifth = claim(5).await;
    store.finish(
        &[5; 32],
        fifth,
        kept(question, "short"),
        Duration::from_millis(80),
    );
    assert_eq!(text(&begin(5, question, SOON).await), "short");
    sleep(Duration::from_millis(160)).await;
    claim(5).await;
}

fn text(begun: &Begun) -> &str {
    let Begun::Done(call) = begun else {
        panic!("no answer: {begun:?}");
    };
    let KeptOutcome::Answer { answer, .. } = &call.outcome else {
        panic!("no answer: {call:?}");
    };
    std::str::from_utf8(&answer.data[0]).expect("text")
}
