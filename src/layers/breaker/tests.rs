use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt};

use super::*;
use crate::{
    catalog::Deployment,
    error::{Error, ErrorKind},
    model::{Call, CallContext},
    testing::{Reply, Scripted, ask, ask_stream, layer_contract},
};

const SECOND: Duration = Duration::from_secs(1);

fn config() -> BreakerConfig {
    BreakerConfig {
        failures: 3,
        cool_down: 10 * SECOND,
        max_cool_down: 35 * SECOND,
        ..BreakerConfig::default()
    }
}

struct Bench {
    provider: Scripted,
    state: BreakerState,
    service: Breaker<Scripted>,
}

impl Bench {
    fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::with(config(), script)
    }

    fn with(config: BreakerConfig, script: impl IntoIterator<Item = Reply>) -> Self {
        let provider = Scripted::at(Deployment::new("p", "m"), script);
        let state = BreakerState::new(provider.deployment().id.clone(), config);
        let service = BreakerLayer::new(state.clone()).layer(provider.clone());
        Self {
            provider,
            state,
            service,
        }
    }

    /// Asks, reads the whole answer, and tells the error's kind.
    async fn ask(&self) -> Result<(), Error> {
        let mut answer = self.service.clone().oneshot(ask_stream("q")).await?;
        while let Some(frame) = answer.body.next().await {
            frame?;
        }
        Ok(())
    }

    /// Asks `times`; how many of them reached the provider.
    async fn reached(&self, times: usize) -> usize {
        let before = self.provider.calls();
        for _ in 0..times {
            let _ = self.ask().await;
        }
        self.provider.calls() - before
    }
}

fn down() -> Reply {
    Reply::error(Error::new(ErrorKind::Unavailable, "connection refused"))
}

fn status(code: u16) -> Error {
    let kind = match code {
        429 => ErrorKind::RateLimited,
        _ => ErrorKind::Upstream,
    };
    Error::new(kind, "no").upstream_status(StatusCode::from_u16(code).unwrap())
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    let layer = |probe: crate::testing::Probe| {
        let id = probe.deployment().id.clone();
        BreakerLayer::new(BreakerState::new(id, BreakerConfig::default())).layer(probe)
    };
    layer_contract(layer).await;
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_a_good_probe_closes_it() {
    let bench = Bench::new([down(), down(), down(), Reply::text("back")]);
    assert_eq!(bench.reached(10).await, 3);
    let refused = bench.ask().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(refused.get_retry_after(), Some(10 * SECOND));
    assert_eq!(
        refused.message(),
        "`p/m` has failed too often and is left alone for 10 s"
    );
    assert!(!refused.is_upstream(), "nobody was asked");
    advance(10 * SECOND).await;
    assert!(!bench.state.is_open(), "a router may send the probe");
    assert_eq!(bench.reached(5).await, 5);
    assert!(!bench.state.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_success_between_failures_starts_the_count_anew() {
    let script = [down(), down(), Reply::text("ok"), down(), down()];
    let bench = Bench::new(script.into_iter().chain([Reply::text("ok")]));
    assert_eq!(bench.reached(20).await, 20);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_opens_it_once_the_window_is_full() {
    let config = BreakerConfig {
        failures: 100,
        percent: 50,
        window: 8,
        ..config()
    };
    let script = (0..30).map(|n| {
        if n % 2 == 0 {
            down()
        } else {
            Reply::text("ok")
        }
    });
    let bench = Bench::with(config, script);
    // The eighth outcome fills the window; the ninth is a failure, which is what opens it.
    assert_eq!(bench.reached(30).await, 9);

    let config = BreakerConfig {
        percent: 51,
        ..config
    };
    let script = (0..30).map(|n| {
        if n % 2 == 0 {
            down()
        } else {
            Reply::text("ok")
        }
    });
    assert_eq!(Bench::with(config, script).reached(30).await, 30);
}

#[tokio::test(start_paused = true)]
async fn failed_probes_double_the_cool_down_up_to_a_limit() {
    let bench = Bench::new([down()]);
    bench.reached(3).await;
    for wait in [10, 20, 35, 35] {
        let refused = bench.ask().await.unwrap_err();
        assert_eq!(refused.get_retry_after(), Some(wait * SECOND));
        advance(wait * SECOND - Duration::from_millis(1)).await;
        assert_eq!(bench.reached(3).await, 0);
        advance(Duration::from_millis(1)).await;
        assert_eq!(bench.reached(3).await, 1, "exactly one probe");
    }
}

#[tokio::test(start_paused = true)]
async fn one_probe_at_a_time_and_its_place_is_free_again_when_it_is_dropped() {
    let bench = Bench::new([down(), down(), down(), Reply::hang(), Reply::text("a b")]);
    bench.reached(3).await;
    advance(10 * SECOND).await;

    let mut probe = Box::pin(bench.service.clone().oneshot(ask("q")));
    assert!(futures_util::poll!(probe.as_mut()).is_pending());
    assert!(bench.state.is_open(), "the probe is out");
    assert_eq!(bench.reached(3).await, 0);
    drop(probe);
    assert!(!bench.state.is_open());

    let left = bench
        .service
        .clone()
        .oneshot(ask_stream("q"))
        .await
        .unwrap();
    assert_eq!(bench.reached(3).await, 0);
    drop(left);
    assert!(bench.ask().await.is_ok());
    assert_eq!(bench.reached(3).await, 3);
}

#[tokio::test(start_paused = true)]
async fn the_first_frame_of_a_probe_lets_the_others_pass() {
    let slow = |frames| {
        let reply = Reply::text("a b c").gap(60 * SECOND);
        [down(), down(), down(), reply.stop_after(frames)]
    };
    let bench = Bench::new(slow(9).into_iter().chain([Reply::text("ok")]));
    bench.reached(3).await;
    advance(10 * SECOND).await;
    let mut probe = bench
        .service
        .clone()
        .oneshot(ask_stream("q"))
        .await
        .unwrap();
    assert_eq!(bench.reached(3).await, 0, "nothing is known yet");
    assert!(probe.body.next().await.unwrap().is_ok());
    assert_eq!(bench.reached(3).await, 3);

    let bench = Bench::new(slow(1).into_iter().chain([down()]));
    bench.reached(3).await;
    advance(10 * SECOND).await;
    assert!(
        bench.ask().await.is_err(),
        "it is cut after its first frame"
    );
    assert_eq!(bench.reached(9).await, 2, "which was a failure of three");
}

#[tokio::test(start_paused = true)]
async fn only_an_answer_that_ends_well_makes_the_next_cool_down_short_again() {
    let cut = || Reply::text("a b c").stop_after(1);
    let script = [down(), down(), down(), down(), cut(), down(), down()];
    let last = [Reply::text("ok"), down()];
    let bench = Bench::new(script.into_iter().chain(last));
    // (times asked, how long it is left alone then)
    for (times, wait) in [(3, 10), (1, 20), (3, 35), (4, 10)] {
        let mut reached = 0;
        for _ in 0..9 {
            reached += bench.reached(1).await;
            // Nor does a reload.
            bench.state.reconfigure(config());
        }
        assert_eq!(reached, times);
        let refused = bench.ask().await.unwrap_err();
        assert_eq!(refused.get_retry_after(), Some(wait * SECOND));
        advance(wait * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r05_a_stream_that_is_cut_counts_and_a_reader_who_leaves_does_not() {
    let bench = Bench::new([Reply::text("a b c").stop_after(2)]);
    assert_eq!(bench.reached(10).await, 3);

    let bench = Bench::new([down(), down(), Reply::text("a b c"), down()]);
    bench.reached(2).await;
    let left = bench
        .service
        .clone()
        .oneshot(ask_stream("q"))
        .await
        .unwrap();
    drop(left);
    assert_eq!(bench.reached(10).await, 1, "the count went on");
}

#[tokio::test(start_paused = true)]
async fn errors_that_blame_the_request_or_the_gateway_do_not_count() {
    use ErrorKind::*;
    for kind in [Invalid, Refused, ContextTooLong, TooLarge, NotFound] {
        let bench = Bench::new([Reply::error(Error::new(kind, "no"))]);
        assert_eq!(bench.reached(10).await, 10, "{kind:?}");
    }
    let bench = Bench::new([Reply::error(status(422))]);
    assert_eq!(bench.reached(10).await, 10);
    // What says nothing does not make up for a failure either.
    let absurd = Error::new(Upstream, "it is too large").conclusive();
    let unaffordable = Error::invalid("too long").upstream_status(StatusCode::PAYMENT_REQUIRED);
    for silent in [absurd, unaffordable] {
        let bench = Bench::new([down(), down(), Reply::error(silent), down()]);
        assert_eq!(bench.reached(10).await, 4);
    }
    for kind in [Budget, RateLimited, Overloaded, Timeout, Internal] {
        let ours = Error::new(kind, "ours");
        let state = BreakerState::new("p/m".into(), config());
        let leaf = tower::service_fn(move |_| std::future::ready(Err(ours.clone())));
        let service = BreakerLayer::new(state.clone()).layer(leaf);
        for _ in 0..10 {
            let _ = service.clone().oneshot(ask("q")).await;
        }
        assert!(!state.is_open(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_unless_the_calls_own_deadline_has_passed() {
    let timeout = || Reply::error(Error::new(ErrorKind::Timeout, "slow"));
    assert_eq!(Bench::new([timeout()]).reached(10).await, 3);
    let bench = Bench::new([timeout()]);
    for _ in 0..10 {
        let mut request = ask("q");
        request.ctx = CallContext::new(Call {
            deadline: Some(Instant::now()),
            ..Call::new("test")
        });
        let _ = bench.service.clone().oneshot(request).await;
    }
    assert_eq!(bench.provider.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_for_long_has_failed_though_the_call_had_no_more_time() {
    let silent = || Reply::error(Error::new(ErrorKind::Timeout, "slow")).after(20 * SECOND);
    for (patience, reached) in [(20, 3), (21, 10)] {
        let bench = Bench::new([silent()]);
        bench.state.reconfigure(BreakerConfig {
            patience: patience * SECOND,
            ..config()
        });
        for _ in 0..10 {
            let mut request = ask("q");
            request.ctx = CallContext::new(Call {
                deadline: Some(Instant::now() + 20 * SECOND),
                ..Call::new("test")
            });
            let _ = bench.service.clone().oneshot(request).await;
        }
        assert_eq!(bench.provider.calls(), reached, "{patience}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_deadline_cuts_was_not_silent() {
    let cut = || {
        let late = Error::new(ErrorKind::Timeout, "the deadline");
        Reply::text("a b c d").gap(5 * SECOND).fail_after(4, late)
    };
    let bench = Bench::new([cut()]);
    bench.state.reconfigure(BreakerConfig {
        patience: 10 * SECOND,
        ..config()
    });
    for _ in 0..10 {
        let mut request = ask_stream("q");
        request.ctx = CallContext::new(Call {
            deadline: Some(Instant::now() + 10 * SECOND),
            ..Call::new("test")
        });
        if let Ok(answer) = bench.service.clone().oneshot(request).await {
            assert!(answer.body.collect(1 << 20).await.is_err());
        }
    }
    assert_eq!(bench.provider.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_limit_opens_it_for_as_long_as_the_provider_says() {
    let limited = status(429).retry_after(42 * SECOND);
    let bench = Bench::new([Reply::error(limited), Reply::text("ok")]);
    assert_eq!(bench.reached(3).await, 1);
    advance(41 * SECOND).await;
    assert!(bench.state.is_open());
    advance(SECOND).await;
    assert_eq!(bench.reached(3).await, 3);

    let forever = status(429).retry_after(Duration::MAX);
    let bench = Bench::new([Reply::error(forever), Reply::text("ok")]);
    assert_eq!(bench.reached(3).await, 1);
    advance(24 * 3600 * SECOND).await;
    assert_eq!(bench.reached(3).await, 3, "at most a day");
    let vague = Bench::new([Reply::error(status(429))]);
    assert_eq!(vague.reached(10).await, 10, "no time, no wait");
}

#[tokio::test(start_paused = true)]
async fn a_bad_key_opens_it_for_long() {
    for code in [401, 402, 403] {
        let bench = Bench::new([Reply::error(status(code)), Reply::text("ok")]);
        assert_eq!(bench.reached(3).await, 1);
        advance(899 * SECOND).await;
        assert!(bench.state.is_open());
        advance(SECOND).await;
        assert_eq!(bench.reached(3).await, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_of_an_earlier_state_do_not_count() {
    let late = || down().after(60 * SECOND);
    let script = [late(), late(), late(), down(), down(), down()];
    let bench = Bench::new(script.into_iter().chain([Reply::text("back")]));
    let mut slow: Vec<_> = (0..3).map(|_| Box::pin(bench.ask())).collect();
    for call in &mut slow {
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    bench.reached(3).await;
    advance(10 * SECOND).await;
    assert!(bench.ask().await.is_ok());
    futures_util::future::join_all(slow).await;
    assert!(!bench.state.is_open(), "they tell of a time before");
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_keeps_what_is_known() {
    let bench = Bench::new([down()]);
    bench.reached(2).await;
    bench.state.reconfigure(BreakerConfig {
        failures: 1,
        ..config()
    });
    assert_eq!(bench.reached(5).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_cool_down_is_that_of_the_next_opening() {
    let wait = |bench: &Bench| {
        let refused = bench.state.admit(&ask("q").ctx).err();
        refused.expect("it is open")
    };
    let slower = BreakerConfig {
        cool_down: 25 * SECOND,
        ..config()
    };
    let bench = Bench::new([down()]);
    bench.state.reconfigure(slower);
    bench.reached(3).await;
    assert_eq!(wait(&bench), 25 * SECOND);

    let bench = Bench::new([down()]);
    bench.reached(3).await;
    bench.state.reconfigure(slower);
    assert_eq!(wait(&bench), 10 * SECOND, "the one under way stays");
    advance(10 * SECOND).await;
    bench.reached(1).await;
    assert_eq!(wait(&bench), 25 * SECOND);
}
