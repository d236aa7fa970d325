use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt};

use super::*;
use crate::{
    catalog::Deployment,
    error::{Error, ErrorKind},
    model::{Call, CallContext, Frame, ModelResponse},
    testing::{Reply, Scripted, ask, ask_stream, layer_contract},
};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> TimeoutLayer {
    within(TimeoutConfig {
        first_frame: 10 * SECOND,
        gap: 3 * SECOND,
        total: 30 * SECOND,
        ..TimeoutConfig::default()
    })
}

fn within(config: TimeoutConfig) -> TimeoutLayer {
    TimeoutLayer::new(Arc::new(Deployment::new("p", "m")), config)
}

fn words(count: usize) -> Reply {
    Reply::text(&"word ".repeat(count))
}

async fn read(mut answer: ModelResponse) -> Result<usize, Error> {
    let mut frames = 0;
    while let Some(frame) = answer.body.next().await {
        frame?;
        frames += 1;
    }
    Ok(frames)
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    layer_contract(|probe| limits().layer(probe)).await;
}

#[tokio::test(start_paused = true)]
async fn r26_the_first_frame_of_a_stream_is_bounded() {
    let provider = Scripted::new(Reply::text("late").after(11 * SECOND));
    let began = Instant::now();
    let error = limits()
        .layer(provider.clone())
        .oneshot(ask_stream("q"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.message(), "no first frame within 10 s");
    assert_eq!((error.provider(), error.model()), (Some("p"), Some("m")));
    assert_eq!(began.elapsed(), 10 * SECOND);
    assert_eq!(provider.open(), 0, "the call was let go");
}

#[tokio::test(start_paused = true)]
async fn r26_a_whole_answer_is_bounded_by_the_total_alone() {
    let slow = Scripted::new(Reply::text("slow").after(29 * SECOND));
    assert!(limits().layer(slow).oneshot(ask("q")).await.is_ok());
    let late = Scripted::new(Reply::text("late").after(31 * SECOND));
    let error = limits().layer(late).oneshot(ask("q")).await.unwrap_err();
    assert_eq!(error.message(), "no answer within 30 s");
}

#[tokio::test(start_paused = true)]
async fn the_inner_call_is_gone_before_its_error_is_there() {
    let provider = Scripted::new(Reply::hang());
    let mut call = pin!(limits().layer(provider.clone()).call(ask("q")));
    assert!(call.as_mut().await.is_err());
    assert_eq!(provider.open(), 0, "although the future is still alive");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_may_have_a_limit_of_its_own() {
    let layer = within(TimeoutConfig {
        whole: 5 * SECOND,
        ..TimeoutConfig::default()
    });
    let late = Scripted::new(Reply::text("late").after(6 * SECOND));
    let error = layer.layer(late).oneshot(ask("q")).await.unwrap_err();
    assert_eq!(error.message(), "no answer within 5 s");
    let steady = Scripted::new(words(5).gap(2 * SECOND));
    let answer = layer.layer(steady).oneshot(ask_stream("q")).await.unwrap();
    assert_eq!(read(answer).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn r26_the_gap_between_frames_is_bounded() {
    let steady = Scripted::new(words(5).gap(2 * SECOND));
    let answer = limits()
        .layer(steady)
        .oneshot(ask_stream("q"))
        .await
        .unwrap();
    assert_eq!(read(answer).await.unwrap(), 7);

    let provider = Scripted::new(words(5).gap(4 * SECOND));
    let mut answer = limits()
        .layer(provider.clone())
        .oneshot(ask_stream("q"))
        .await
        .unwrap();
    assert!(matches!(answer.body.next().await, Some(Ok(Frame::Data(_)))));
    let began = Instant::now();
    let error = answer.body.next().await.unwrap().unwrap_err();
    assert_eq!(error.message(), "no further frame within 3 s");
    assert_eq!(began.elapsed(), 3 * SECOND);
    assert!(answer.body.next().await.is_none());
    assert_eq!(
        (provider.open(), provider.cut()),
        (0, 1),
        "the stream was let go"
    );
}

#[tokio::test(start_paused = true)]
async fn r26_the_total_is_bounded_however_steady_the_frames() {
    let provider = Scripted::new(words(100).gap(2 * SECOND));
    let began = Instant::now();
    let answer = limits()
        .layer(provider)
        .oneshot(ask_stream("q"))
        .await
        .unwrap();
    let error = read(answer).await.unwrap_err();
    assert_eq!(error.message(), "no answer within 30 s");
    assert_eq!(began.elapsed(), 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_a_silent_provider() {
    let provider = Scripted::new(words(3));
    let mut answer = limits()
        .layer(provider)
        .oneshot(ask_stream("q"))
        .await
        .unwrap();
    assert!(answer.body.next().await.unwrap().is_ok());
    sleep(20 * SECOND).await;
    assert_eq!(read(answer).await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn r13_the_deadline_of_the_call_bounds_everything() {
    let call = |seconds: u32, stream: bool| {
        let mut request = if stream { ask_stream("q") } else { ask("q") };
        request.ctx = CallContext::new(Call {
            deadline: Some(Instant::now() + seconds * SECOND),
            ..Call::new("test")
        });
        request
    };
    for stream in [true, false] {
        let hanging = Scripted::new(Reply::hang());
        let error = limits()
            .layer(hanging)
            .oneshot(call(5, stream))
            .await
            .unwrap_err();
        assert_eq!(error.message(), "the call's deadline of 5 s has passed");
    }
    let steady = Scripted::new(words(100).gap(SECOND));
    let began = Instant::now();
    let answer = limits().layer(steady).oneshot(call(7, true)).await.unwrap();
    let error = read(answer).await.unwrap_err();
    assert_eq!(error.message(), "the call's deadline of 7 s has passed");
    assert_eq!(began.elapsed(), 7 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_limit_may_be_as_good_as_none() {
    let config = TimeoutConfig {
        first_frame: Duration::MAX,
        gap: Duration::MAX,
        total: Duration::MAX,
        ..TimeoutConfig::default()
    };
    let provider = Scripted::new(words(2).gap(3600 * SECOND));
    let answer = within(config)
        .layer(provider)
        .oneshot(ask_stream("q"))
        .await
        .unwrap();
    assert_eq!(read(answer).await.unwrap(), 4);
}
