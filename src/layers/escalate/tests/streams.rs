use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::*;
use crate::{
    error::ErrorKind,
    model::{Call, CallContext, Frame, Usage},
    testing::ask_stream,
};

const SECOND: Duration = Duration::from_secs(1);

fn json_stream() -> ModelRequest {
    asking(json!({"stream": true, "response_format": {"type": "json_object"}}))
}

#[tokio::test(start_paused = true)]
async fn r28_the_highest_tier_is_never_held() {
    let started = Instant::now();
    let ladder = Ladder::new([Reply::text("I can't help with that").gap(SECOND)]);
    let buffer = layer().on_stream(OnStream::Buffer);
    let mut answer = ladder.ask(buffer, ask_stream("q")).await.unwrap();
    assert!(matches!(answer.body.next().await, Some(Ok(Frame::Data(_)))));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn pass_lets_everything_through_at_once() {
    let started = Instant::now();
    let ladder = Ladder::new([
        Reply::text("I can't help with that").gap(SECOND),
        Reply::text("x"),
    ]);
    let pass = layer().on_stream(OnStream::Pass);
    let answer = ladder.ask(pass.clone(), ask_stream("q")).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(
        (text(answer).await, ladder.calls()),
        ("I can't help with that".into(), vec![1, 0])
    );

    let down = Reply::error(Error::new(ErrorKind::Upstream, "down"));
    let ladder = Ladder::new([down, Reply::text("x")]);
    let answer = ladder.ask(pass, ask_stream("q")).await.unwrap();
    assert_eq!(text(answer).await, "x");
}

#[tokio::test]
async fn buffer_judges_the_whole_and_replays_the_stream() {
    let usage = Usage::new(3, 4);
    let ladder = Ladder::new([Reply::text("a b c d").usage(usage), Reply::text("x")]);
    let buffer = layer().on_stream(OnStream::Buffer);
    let answer = ladder.ask(buffer.clone(), ask_stream("q")).await.unwrap();
    let collected = answer.body.collect(9999).await.unwrap();
    assert!(!collected.whole);
    assert_eq!(collected.data.len(), 5, "the same chunks");
    assert!(collected.end.usage == Some(usage) && collected.end.usage_chunk.is_some());

    let ladder = Ladder::new([Reply::text("half").finish("length"), Reply::text("x")]);
    let answer = ladder.ask(buffer, ask_stream("q")).await.unwrap();
    assert_eq!(
        (text(answer).await, ladder.calls()),
        ("x".into(), vec![1, 1])
    );
    assert_eq!(ladder.tiers[0].cut(), 0, "it was read to its end");
}

#[tokio::test]
async fn a_buffer_that_outgrows_its_limit_is_passed_on() {
    let ladder = Ladder::new([
        Reply::text("a b c d e f").finish("length"),
        Reply::text("x"),
    ]);
    let buffer = layer().on_stream(OnStream::Buffer).answer_limit(500);
    let answer = ladder.ask(buffer, ask_stream("q")).await.unwrap();
    assert_eq!(
        (text(answer).await, ladder.calls()),
        ("a b c d e f".into(), vec![1, 0])
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_climbs_on_the_first_words_of_a_refusal() {
    let refusal = "I\u{2019}m sorry, but I can\u{2019}t help with anything of that kind at all";
    let ladder = Ladder::new([Reply::text(refusal).gap(SECOND / 10), Reply::text("x y")]);
    let started = Instant::now();
    let answer = ladder.ask(layer(), ask_stream("q")).await.unwrap();
    assert!(started.elapsed() < SECOND, "the rest is not waited for");
    assert_eq!(
        (text(answer).await, ladder.calls()),
        ("x y".into(), vec![1, 1])
    );
    assert_eq!((ladder.tiers[0].cut(), ladder.tiers[0].open()), (1, 0));
}

#[tokio::test]
async fn a_probe_sees_json_that_cannot_become_valid() {
    let ladder = Ladder::new([
        Reply::text("{\"a\": oops, and on"),
        Reply::text("{\"a\": 1}"),
    ]);
    let answer = ladder.ask(layer(), json_stream()).await.unwrap();
    assert_eq!(text(answer).await, "{\"a\": 1}");

    let ladder = Ladder::new([Reply::text("{\"a\": [1, 2]}"), Reply::text("x")]);
    let answer = ladder.ask(layer(), json_stream()).await.unwrap();
    assert_eq!(
        (text(answer).await, ladder.calls()),
        ("{\"a\": [1, 2]}".into(), vec![1, 0])
    );
}

#[tokio::test]
async fn a_short_stream_is_judged_whole_by_a_probe() {
    let ladder = Ladder::new([Reply::text(""), Reply::text("x")]);
    let answer = ladder.ask(layer(), ask_stream("q")).await.unwrap();
    assert_eq!(text(answer).await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_probe_commits_and_never_switches() {
    let probe = |max_time, max_chunks, max_bytes| {
        layer().on_stream(OnStream::Probe {
            max_time,
            max_chunks,
            max_bytes,
        })
    };
    for (window, waits) in [
        (probe(SECOND * 60, 3, 1 << 20), SECOND * 2),
        (probe(SECOND * 60, 99, 300), SECOND),
        (probe(SECOND * 5 / 2, 99, 1 << 20), SECOND * 5 / 2),
    ] {
        let ladder = Ladder::new([
            Reply::text("a b c d e").gap(SECOND).finish("length"),
            Reply::text("x"),
        ]);
        let started = Instant::now();
        let answer = ladder.ask(window, ask_stream("q")).await.unwrap();
        assert_eq!(started.elapsed().as_millis(), waits.as_millis());
        assert_eq!(
            (text(answer).await, ladder.calls()),
            ("a b c d e".into(), vec![1, 0])
        );
        assert_eq!(ladder.tiers[0].cut(), 0);
    }
}

#[tokio::test]
async fn r14_a_stream_that_breaks_while_it_is_held_is_climbed_over() {
    let broken = || Reply::text("a b c d").fail_after(2, Error::new(ErrorKind::Upstream, "broke"));
    for reply in [broken(), Reply::text("a b c d").stop_after(2)] {
        let ladder = Ladder::new([reply, Reply::text("x")]);
        let answer = ladder.ask(layer(), ask_stream("q")).await.unwrap();
        assert_eq!(text(answer).await, "x");
    }
    let refused = Reply::error(Error::new(ErrorKind::Budget, "spent"));
    let ladder = Ladder::new([broken(), refused]);
    let error = ladder.ask(layer(), ask_stream("q")).await.unwrap_err();
    assert_eq!(
        error.message(),
        "broke",
        "an ordinary error, as nothing was sent"
    );
}

#[tokio::test]
async fn r34_an_unfinished_draft_goes_on_when_the_climb_is_refused() {
    let refusal = "I can't help with that, and here is why";
    let refused = Reply::error(Error::new(ErrorKind::Budget, "spent"));
    let ladder = Ladder::new([Reply::text(refusal), refused]);
    let answer = ladder.ask(layer(), ask_stream("q")).await.unwrap();
    assert_eq!(answer.meta.notes.len(), 1);
    assert_eq!(text(answer).await, refusal);
    assert_eq!(ladder.tiers[0].cut(), 0);
}

#[tokio::test(start_paused = true)]
async fn r13_an_unfinished_draft_is_no_answer_once_the_time_is_out() {
    let drafts = [
        (EscalateConfig::default().on_stream, Err(ErrorKind::Timeout)),
        // It was read to its end.
        (OnStream::Buffer, Ok("I can't help with that, sorry")),
    ];
    for (mode, outcome) in drafts {
        let refusal = Reply::text("I can't help with that, sorry").gap(SECOND / 10);
        let ladder = Ladder::new([refusal, Reply::hang()]);
        let mut request = ask_stream("q");
        request.ctx = CallContext::new(Call {
            deadline: Some(Instant::now() + 5 * SECOND),
            ..Call::new("t")
        });
        let answer = ladder.ask(layer().on_stream(mode), request).await;
        match (answer, outcome) {
            (Ok(answer), Ok(whole)) => assert_eq!(text(answer).await, whole),
            (Err(error), Err(kind)) => {
                assert_eq!(error.kind(), kind, "{error}");
                assert!(!error.is_unbilled(), "two providers were asked");
            }
            (answer, _) => panic!("{mode:?}: {answer:?}"),
        }
        assert_eq!(ladder.calls(), [1, 1]);
    }
}

#[tokio::test]
async fn a_stream_without_attempts_left_is_not_held() {
    let ladder = Ladder::new([Reply::text("I can't help with that"), Reply::text("x")]);
    let answer = ladder
        .ask(layer().max_climbs(0), ask_stream("q"))
        .await
        .unwrap();
    assert_eq!(
        (text(answer).await, ladder.calls()),
        ("I can't help with that".into(), vec![1, 0])
    );
}
