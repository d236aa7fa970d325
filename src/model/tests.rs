use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::*;
use crate::{
    error::{Error, ErrorKind},
    json::RawObject,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Tap for Log {
    fn on_data(&mut self, data: &Bytes) {
        self.0
            .lock()
            .unwrap()
            .push(String::from_utf8(data.to_vec()).unwrap());
    }
    fn on_end(self: Box<Self>, outcome: Outcome<'_>) {
        let outcome = match outcome {
            Outcome::Complete(_) => "complete",
            Outcome::Failed(_) => "failed",
            Outcome::Cut => "cut",
        };
        self.0.lock().unwrap().push(outcome.into());
    }
}

impl Log {
    fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn data(text: &'static str) -> Result<Frame, Error> {
    Ok(Frame::Data(text.into()))
}

fn frames(items: Vec<Result<Frame, Error>>) -> ModelBody {
    ModelBody::stream(stream::iter(items))
}

#[tokio::test]
async fn a_tap_sees_every_frame_and_one_end() {
    let log = Log::default();
    let body = frames(vec![
        data("a"),
        data("b"),
        Ok(Frame::End(End::default())),
        data("beyond"),
    ]);
    let got = body.tap(log.clone()).collect(100).await.unwrap();
    assert_eq!(got.data, ["a", "b"]);
    assert_eq!(log.seen(), ["a", "b", "complete"]);
}

#[tokio::test]
async fn a_stream_without_an_end_is_cut_short() {
    let log = Log::default();
    let mut body = frames(vec![data("a")]).tap(log.clone());
    assert!(body.next().await.unwrap().is_ok());
    assert_eq!(
        body.next().await.unwrap().unwrap_err().kind(),
        ErrorKind::Cut
    );
    assert!(body.next().await.is_none());
    drop(body);
    assert_eq!(log.seen(), ["a", "failed"]);
}

#[tokio::test]
async fn a_reader_who_leaves_cuts_a_stream_but_not_a_whole_answer() {
    let log = Log::default();
    let mut body = frames(vec![data("a"), data("b")]).tap(log.clone());
    let _ = body.next().await;
    drop(body);
    assert_eq!(log.seen(), ["a", "cut"]);

    let log = Log::default();
    drop(ModelBody::whole("w".into(), End::default()).tap(log.clone()));
    assert_eq!(log.seen(), ["w", "complete"]);
}

#[tokio::test]
async fn peeking_turns_an_early_failure_into_an_ordinary_error() {
    let log = Log::default();
    let failed = frames(vec![Err(Error::new(ErrorKind::Upstream, "no")), data("a")]);
    assert!(failed.tap(log.clone()).peek().await.is_err());
    assert_eq!(log.seen(), ["failed"]);
    assert_eq!(
        frames(vec![]).peek().await.unwrap_err().kind(),
        ErrorKind::Cut
    );

    let fine = frames(vec![data("a"), Ok(Frame::End(End::default()))])
        .tap(log.clone())
        .peek()
        .await
        .unwrap();
    assert_eq!(fine.collect(10).await.unwrap().data, ["a"]);
    assert_eq!(log.seen(), ["failed", "a", "complete"]);
}

#[tokio::test]
async fn an_answer_is_collected_up_to_a_limit() {
    let body = frames(vec![
        data("aaaa"),
        data("bbbb"),
        Ok(Frame::End(End::default())),
    ]);
    assert!(body.collect(7).await.is_err());
}

#[test]
fn attempts_are_bounded_and_may_be_given_back() {
    let ctx = CallContext::new(Call {
        max_attempts: 2,
        ..Call::new("t")
    });
    assert_eq!(
        (
            ctx.begin_attempt(),
            ctx.begin_attempt(),
            ctx.begin_attempt()
        ),
        (Some(1), Some(2), None)
    );
    ctx.return_attempt();
    assert!(ctx.may_try());
    // A number is never used twice: it names a row of the ledger.
    assert_eq!(ctx.begin_attempt(), Some(3));
}

#[test]
fn usage_is_priced_per_bucket_and_rounded_once() {
    use crate::catalog::{Price, Rates};
    let usd = |text: &str| text.parse().unwrap();
    let price = Price {
        rates: Rates {
            input: usd("3"),
            output: usd("15"),
            cache_read: Some(usd("0.3")),
            cache_write_5m: Some(usd("3.75")),
            ..Rates::default()
        },
        ..Price::default()
    };
    let usage = Usage {
        input: 100,
        cache_read: 1000,
        cache_write_5m: 10,
        cache_write_1h: 1,
        output: 7,
        reasoning: 3,
    };
    // 100×3 + 1000×0.3 + 10×3.75 + 1×3 + 10×15 dollars per million
    assert_eq!(usage.cost(&price).to_string(), "0.0007905");
}

#[test]
fn a_compact_answer_is_the_same_answer_in_memory_of_its_own() {
    let read = Bytes::from(vec![b'x'; 4096]);
    let answer = Collected {
        whole: false,
        data: vec![read.slice(0..3), read.slice(10..10), read.slice(5..9)],
        end: End {
            usage_chunk: Some(read.slice(0..2)),
            ..End::default()
        },
    };
    let compact = answer.clone().compact();
    assert_eq!(compact.data, answer.data);
    assert_eq!(compact.end.usage_chunk, answer.end.usage_chunk);
    drop(answer);
    assert!(read.is_unique());
}

#[test]
fn only_a_chat_can_be_streamed() {
    let request = |op| {
        let body = RawObject::parse(r#"{"stream":true}"#.into()).unwrap();
        ModelRequest::new(op, body, CallContext::new(Call::new("t")))
    };
    assert!(request(Operation::Chat).wants_stream());
    assert!(!request(Operation::Embeddings).wants_stream());
}
