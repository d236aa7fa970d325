use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tower::{ServiceBuilder, ServiceExt};
use tracing_subscriber::fmt::MakeWriter;

use super::TraceLayer;
use crate::{
    catalog::Money,
    error::{Error, ErrorKind},
    model::ModelRequest,
    testing::{Reply, Scripted, ask, ask_stream},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The log of one call, at the most talkative level.
async fn log_of(reply: Reply, request: ModelRequest, read: bool) -> String {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new())
        .service(Scripted::new(reply));
    if let Ok(answer) = stack.oneshot(request).await
        && read
    {
        drop(answer.body.collect(9999).await);
    }
    drop(guard);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_call_is_one_line_without_its_prompt() {
    let log = log_of(Reply::text("the-answer"), ask("the-question"), true).await;
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.contains("status=\"ok\"") && log.contains("req_"),
        "{log}"
    );
    assert!(
        !log.contains("the-question") && !log.contains("the-answer"),
        "{log}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_line_has_the_time_to_the_first_frame_where_there_was_one() {
    let slow = Reply::text("a b").after(Duration::from_millis(40));
    let log = log_of(slow, ask_stream("q"), true).await;
    assert!(log.contains("first_frame_ms=40 "), "{log}");
    let error = Error::new(ErrorKind::Upstream, "outside");
    let log = log_of(Reply::error(error), ask_stream("q"), true).await;
    assert!(!log.contains("first_frame_ms"), "{log}");
}

#[tokio::test]
async fn failures_tell_their_cause_and_cuts_are_no_failures() {
    let error = Error::new(ErrorKind::Upstream, "outside").with_source("inside");
    let log = log_of(Reply::error(error), ask("q"), true).await;
    assert!(
        log.contains("WARN") && log.contains("outside") && log.contains("inside"),
        "{log}"
    );
    let log = log_of(Reply::text("a b"), ask_stream("q"), false).await;
    assert!(
        log.contains("status=\"cancelled\"") && !log.contains("WARN"),
        "{log}"
    );
}

#[tokio::test]
async fn who_listens_is_told_once_of_a_call_that_cost_more_when_it_has_ended() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let layer = TraceLayer::new()
        .alert(Some(Money::from_nanos(10)))
        .on_alert(move |alert| {
            let seen = (alert.ctx.id.clone(), alert.cost, alert.threshold);
            listener.lock().unwrap().push(seen);
        });
    let stack = ServiceBuilder::new()
        .layer(layer)
        .service(Scripted::new(Reply::text("a b")));
    let mut dear = None;
    for cost in [10, 11] {
        let request = ask_stream("q");
        dear = Some(request.ctx.id.clone());
        request.ctx.charge(Money::from_nanos(cost));
        let answer = stack.clone().oneshot(request).await.unwrap();
        assert!(told.lock().unwrap().is_empty(), "it goes on");
        answer.body.collect(999).await.unwrap();
    }
    let expected = (dear.unwrap(), Money::from_nanos(11), Money::from_nanos(10));
    assert_eq!(*told.lock().unwrap(), [expected]);
}
