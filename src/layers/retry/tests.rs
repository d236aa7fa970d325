use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use proptest::prelude::*;
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt};

use super::*;
use crate::{
    catalog::Deployment,
    error::{Error, ErrorKind},
    model::{Call, CallContext, ModelRequest},
    testing::{Reply, Scripted, ask, ask_stream, layer_contract},
};

const SECOND: Duration = Duration::from_secs(1);

fn config(tries: u32) -> RetryConfig {
    RetryConfig {
        tries,
        base: SECOND,
        max_delay: 5 * SECOND,
    }
}

fn failing(error: Error) -> Scripted {
    Scripted::new(Reply::error(error))
}

fn down() -> Error {
    Error::new(ErrorKind::Unavailable, "connection refused")
}

fn call(call: Call) -> ModelRequest {
    let mut request = ask("q");
    request.ctx = CallContext::new(call);
    request
}

/// Asks `provider` through a retry; the answer's error and the time it took.
async fn retry(
    config: RetryConfig,
    provider: &Scripted,
    request: ModelRequest,
) -> (Option<Error>, Duration) {
    let began = Instant::now();
    let service = RetryLayer::new(config).layer(provider.clone());
    (service.oneshot(request).await.err(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract() {
    layer_contract(|probe| RetryLayer::new(config(3)).layer(probe)).await;
}

#[tokio::test(start_paused = true)]
async fn each_try_is_an_attempt_of_its_own() {
    let deployment = Deployment::new("p", "m");
    let provider = Scripted::at(
        deployment,
        [
            Reply::error(down()),
            Reply::error(down()),
            Reply::text("here"),
        ],
    );
    let request = ask("q");
    let ctx = request.ctx.clone();
    let service = RetryLayer::new(config(3))
        .deployment(provider.deployment())
        .layer(provider.clone());
    assert!(service.oneshot(request).await.is_ok());
    let attempts: Vec<_> = provider.seen().iter().map(|r| r.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(ctx.attempts(), 3);
    let steps = ctx.steps();
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[0].what, "connection refused; trying again");
    assert_eq!(steps[0].deployment, Some("p/m".into()));
}

#[tokio::test(start_paused = true)]
async fn r13_attempts_are_bounded_however_many_tries_are_configured() {
    let provider = failing(down());
    let request = ask("q");
    let ctx = request.ctx.clone();
    let (error, _) = retry(config(100), &provider, request.clone()).await;
    assert_eq!(error.unwrap().message(), "connection refused");
    assert_eq!((provider.calls(), ctx.attempts()), (4, 4));

    let (error, took) = retry(config(100), &provider, request).await;
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(error.message(), "all 4 attempts of this call are used up");
    assert_eq!((provider.calls(), took), (4, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn r13_by_default_a_deployment_is_tried_twice() {
    let provider = failing(down());
    retry(RetryConfig::default(), &provider, ask("q")).await;
    assert_eq!(provider.calls(), 2);
    let provider = failing(down());
    retry(config(1), &provider, ask("q")).await;
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn r13_only_what_may_pass_is_tried_again() {
    use ErrorKind::*;
    let status = |code| {
        let status = StatusCode::from_u16(code).unwrap();
        Error::new(Upstream, "no").upstream_status(status)
    };
    let mut table: Vec<_> = [RateLimited, Timeout, Unavailable, Upstream, Cut]
        .map(|kind| (Error::new(kind, "again"), 2))
        .into();
    table.extend(
        [
            Invalid,
            Refused,
            ContextTooLong,
            NotFound,
            Internal,
            TooLarge,
        ]
        .map(|kind| (Error::new(kind, "not again"), 1)),
    );
    table.extend([400, 401, 402, 403, 409, 422].map(|code| (status(code), 1)));
    table.extend([500, 502, 503, 529].map(|code| (status(code), 2)));
    for (error, tries) in table {
        let provider = failing(error.clone());
        retry(config(2), &provider, ask("q")).await;
        assert_eq!(provider.calls(), tries, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_reached_nobody_is_given_back() {
    let shed = Error::new(ErrorKind::Overloaded, "all permits are taken");
    let ours = tower::service_fn(move |_| std::future::ready(Err(shed.clone())));
    let request = ask("q");
    let ctx = request.ctx.clone();
    let error = RetryLayer::new(config(2))
        .layer(ours)
        .oneshot(request)
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(ctx.attempts(), 0);

    let cut = tower::service_fn(|_| std::future::ready(Err(Error::new(ErrorKind::Cut, "cut"))));
    let request = ask("q");
    let ctx = request.ctx.clone();
    let _ = RetryLayer::new(config(2)).layer(cut).oneshot(request).await;
    assert_eq!(ctx.attempts(), 2, "what was cut had begun");
}

#[tokio::test(start_paused = true)]
async fn r12_a_provider_that_names_a_time_is_waited_for_or_given_up() {
    for (after, calls) in [(SECOND, 2), (5 * SECOND, 2), (6 * SECOND, 1)] {
        let limited = Error::new(ErrorKind::RateLimited, "slow down").retry_after(after);
        let provider = failing(limited);
        let (error, took) = retry(config(2), &provider, ask("q")).await;
        assert_eq!(error.unwrap().get_retry_after(), Some(after));
        assert_eq!(provider.calls(), calls, "{after:?}");
        assert!(calls == 1 && took.is_zero() || took >= after, "{took:?}");
        assert!(took <= 5 * SECOND, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r13_no_wait_and_no_attempt_goes_beyond_the_deadline() {
    let limited = Error::new(ErrorKind::RateLimited, "slow down").retry_after(3 * SECOND);
    let provider = failing(limited);
    let deadline = |after| Call {
        deadline: Some(Instant::now() + after),
        ..Call::new("test")
    };
    let (error, took) = retry(config(2), &provider, call(deadline(3 * SECOND))).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::RateLimited);
    assert_eq!((provider.calls(), took), (1, Duration::ZERO));

    let request = call(deadline(SECOND));
    advance(SECOND).await;
    let (error, _) = retry(config(2), &provider, request).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Timeout);
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn r14_a_stream_that_has_begun_is_not_repeated() {
    let provider = Scripted::new(Reply::text("a b c").fail_after(1, down()));
    let service = RetryLayer::new(config(2)).layer(provider.clone());
    let mut answer = service.oneshot(ask_stream("q")).await.unwrap();
    assert!(answer.body.next().await.unwrap().is_ok());
    assert!(answer.body.next().await.unwrap().is_err());
    assert_eq!(provider.calls(), 1);

    let at_once = Reply::text("a b c").fail_after(0, down());
    let provider = Scripted::at(Deployment::new("p", "m"), [at_once, Reply::text("a")]);
    let service = RetryLayer::new(config(2)).layer(provider.clone());
    assert!(service.oneshot(ask_stream("q")).await.is_ok());
    assert_eq!(provider.calls(), 2, "nobody has seen a frame");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_met_with_twice_the_load() {
    let provider = failing(down());
    let config = RetryConfig {
        base: Duration::ZERO,
        ..config(2)
    };
    let layer = RetryLayer::new(config);
    for _ in 0..1000 {
        let service = layer.clone().layer(provider.clone());
        let _ = service.oneshot(ask("q")).await;
    }
    assert_eq!(provider.calls(), 1000 + 100 + 10);
    advance(30 * SECOND).await;
    for _ in 0..9 {
        let _ = layer.layer(provider.clone()).oneshot(ask("q")).await;
    }
    assert_eq!(
        provider.calls(),
        1110 + 9 + 5,
        "half a minute, half the floor"
    );
}

proptest! {
    #[test]
    fn waits_stay_in_their_bounds(tried in 1u32..64, base in 0u64..10_000, max in 0u64..10_000, asked in prop::option::of(0u64..20_000)) {
        let config = RetryConfig {
            tries: u32::MAX,
            base: Duration::from_millis(base),
            max_delay: Duration::from_millis(max),
        };
        let mut error = down();
        if let Some(asked) = asked {
            error = error.retry_after(Duration::from_millis(asked));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _entered = runtime.enter();
        let ctx = CallContext::new(Call::new("test"));
        let wait = config.next(tried, &error, &ctx, &RetryBudget::default());
        prop_assert_eq!(wait.is_none(), asked.is_some_and(|asked| asked > max));
        if let Some(wait) = wait {
            prop_assert!(wait <= config.max_delay);
            prop_assert!(wait >= Duration::from_millis(asked.unwrap_or(0)));
        }
    }
}
