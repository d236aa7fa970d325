//! Gateways that share a Redis, which works, freezes, dies and will not do.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rungs::{
    model::Usage,
    testing::{Reply, Scripted, Upstream, servers::RedisServer},
};
use serde_json::json;

use crate::support::*;

/// Patience for a busy machine, where the time limit is not what is tested.
const PATIENT: &str = "redis_seconds = 5\n";

struct Shared {
    redis: RedisServer,
    provider_model: Scripted,
    upstream: Upstream,
}

impl Shared {
    async fn start(reply: Reply) -> Self {
        let provider_model = scripted("m", reply);
        Self {
            redis: RedisServer::start().unwrap(),
            upstream: Upstream::serve([provider_model.clone()]).await.unwrap(),
            provider_model,
        }
    }

    fn config(&self, store: &str, more: &str) -> String {
        self.config_of(store, more, "", "price = 0")
    }

    fn config_of(&self, store: &str, more: &str, of_provider: &str, of_model: &str) -> String {
        format!(
            "[store]\nurl = \"memory:\"\nredis = \"{}\"\n{store}{more}\n{}{of_provider}{}",
            self.redis.url(),
            provider("p", &self.upstream.base_url()),
            model("m", "p", "L0", of_model)
        )
    }
}

/// Tokens of one call: asked for, and used. What the request itself counts for is a hundredth of them at most.
const CALL: u64 = 10_000;

/// Of forty calls at once so many pass, by as many processes as there may be: limits of ten calls, and no two calls are one.
async fn passed(count: usize, of_key: &str, of_users: &str, of_provider: &str, of_model: &str) {
    let used = Reply::text("ok").usage(Usage::new(1, CALL));
    let shared = Shared::start(used).await;
    let limits = format!(
        "{NO_RETRY}[cache]\nenabled = false\n[limits]\nreplicas = {count}\n{of_users}\n{}",
        key("k", KEY, of_key)
    );
    let of_model = format!("price = 0\nmax_output = {CALL}\n{of_model}");
    let config = shared.config_of(PATIENT, &limits, of_provider, &of_model);
    let gateways: Vec<_> = (0..count)
        .map(|_| Gateway::serve(&config).with_key(KEY))
        .collect();
    let mut body = chat("m", "q");
    body["user"] = json!("ann");
    body["max_tokens"] = json!(CALL);
    // A tenth of the limit comes back after six seconds, and of tokens there are some more to begin with.
    let start = Instant::now();
    let asks = (0..40).map(|n| gateways[n % count].ask(&body));
    let answers = join_all(asks).await;
    assert!(start.elapsed() < Duration::from_secs(4), "too slow to tell");
    let with = |status| answers.iter().filter(|a| a.status == status).count();
    assert_eq!(
        (with(200), with(429), shared.provider_model.calls()),
        (10, 30, 10),
        "{count} gateways: {of_key} {of_users} {of_provider} {of_model}"
    );
}

#[tokio::test]
async fn r27_four_gateways_let_through_what_one_does() {
    let tokens = 10 * CALL + CALL / 5;
    for count in [1, 4] {
        passed(count, "rpm = 10", "", "", "").await;
        passed(count, &format!("tpm = {tokens}"), "", "", "").await;
        passed(count, "", "user_rpm = 10", "", "").await;
        passed(count, "", &format!("user_tpm = {tokens}"), "", "").await;
        passed(count, "", "", "rpm = 10\n", "").await;
        passed(count, "", "", &format!("tpm = {tokens}\n"), "").await;
        passed(count, "", "", "", "rpm = 10").await;
        passed(count, "", "", "", &format!("tpm = {tokens}")).await;
    }
}

#[tokio::test]
async fn gateways_share_answers_and_repeated_calls() {
    let shared = Shared::start(Reply::text("ok").after(Duration::from_millis(300))).await;
    let config = shared.config(PATIENT, "");
    let (one, two) = (Gateway::serve(&config), Gateway::serve(&config));
    one.ask(&chat("m", "q")).await;
    let mut hits = 0;
    for _ in 0..50 {
        hits += usize::from(two.ask(&chat("m", "q")).await.header("x-rungs-cache") == "hit");
    }
    assert!(hits >= 49, "{hits}");

    let calls = shared.provider_model.calls();
    let (body, name) = (
        chat("m", "r"),
        [("idempotency-key", "n"), ("x-rungs-cache", "bypass")],
    );
    let asks = (0..50).map(|n| [&one, &two][n % 2].ask_with(&body, &name));
    let answers = join_all(asks).await;
    assert_eq!(shared.provider_model.calls(), calls + 1);
    assert!(
        answers.iter().all(|a| a.text == answers[0].text),
        "{answers:?}"
    );
    drop((one, two));
    let later = Gateway::serve(&config);
    let answer = later.ask_with(&body, &name).await;
    assert_eq!(
        (
            answer.text,
            answer.headers["idempotent-replayed"].to_str().unwrap()
        ),
        (answers[0].text.clone(), "true")
    );
    assert_eq!(shared.provider_model.calls(), calls + 1);
}

#[tokio::test]
async fn a_call_whose_process_died_is_carried_out_by_the_next() {
    let shared = Shared::start(Reply::text("ok").after(Duration::from_secs(2))).await;
    let config = shared.config(PATIENT, "[idempotency]\nwait_seconds = 0\n");
    let (first, second) = (Gateway::serve(&config), Gateway::serve(&config));
    let (body, name) = (chat("m", "q"), [("idempotency-key", "n")]);
    let dying = async {
        let request = first.post("/v1/chat/completions", body.to_string());
        request.header("idempotency-key", "n").send().await
    };
    let killing = async {
        until("the provider is asked", || {
            shared.provider_model.calls() == 1
        })
        .await;
        let answer = second.ask_with(&body, &name).await;
        assert_eq!((answer.status, answer.header("retry-after")), (409, "1"));
        first.signal("KILL");
    };
    let (answer, ()) = futures_util::future::join(dying, killing).await;
    assert!(answer.is_err(), "a reset, and no false success");
    let start = Instant::now();
    let answer = loop {
        let answer = second.ask_with(&body, &name).await;
        if answer.status != 409 {
            break answer;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it stays claimed"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(answer.status, 200);
    assert_eq!(shared.provider_model.calls(), 2);
}

/// Asks one after the other, from `lanes` clients at once; how long each took. All must succeed.
async fn load(gateway: &Gateway, lanes: usize, each: usize) -> Vec<Duration> {
    let [times] = load_in_turns([gateway], lanes, each).await;
    times
}

/// The same of several gateways, each client in turns: whatever else the computer does, it does to all of them.
async fn load_in_turns<const N: usize>(
    gateways: [&Gateway; N],
    lanes: usize,
    each: usize,
) -> [Vec<Duration>; N] {
    let lanes = (0..lanes).map(|lane| async move {
        let mut times = [const { Vec::new() }; N];
        for n in 0..each {
            for (gateway, times) in gateways.into_iter().zip(&mut times) {
                let body = chat("m", &format!("{lane} {n} {:?}", Instant::now()));
                let start = Instant::now();
                let answer = gateway.ask(&body).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                times.push(start.elapsed());
            }
        }
        times
    });
    let lanes = join_all(lanes).await;
    std::array::from_fn(|n| {
        let mut times: Vec<_> = lanes.iter().flat_map(|times| times[n].clone()).collect();
        times.sort();
        times
    })
}

fn times_in_the_log(gateway: &Gateway, text: &str) -> usize {
    gateway.log().matches(text).count()
}

#[tokio::test]
async fn r16_a_frozen_redis_costs_a_moment_and_no_error() {
    let shared = Shared::start(Reply::text("ok")).await;
    let limits = key("k", KEY, "rpm = 1000000");
    let gateway = Gateway::serve(&shared.config("", &limits)).with_key(KEY);
    // The same, with a Redis that stays.
    let beside = Shared::start(Reply::text("ok")).await;
    let twin = Gateway::serve(&beside.config("", &limits)).with_key(KEY);
    let redis = format!("redis = \"{}\"\n", shared.redis.url());
    let alone = Gateway::serve(&shared.config("", &limits).replace(&redis, "")).with_key(KEY);
    load_in_turns([&twin, &alone], 4, 50).await;
    let before = load(&gateway, 4, 50).await;
    shared.redis.freeze().unwrap();
    let first = load(&gateway, 4, 5).await;
    let added = first[first.len() - 1].saturating_sub(before[before.len() / 2]);
    assert!(added < Duration::from_millis(150), "{added:?}");
    gateway.logs("redis is away").await;
    let ready = gateway.get("/ready").await;
    assert_eq!(
        (
            ready.status,
            &ready.json()["status"],
            &ready.json()["redis"]
        ),
        (200, &"degraded".into(), &"away".into())
    );
    assert_eq!(gateway.get("/health").await.json()["redis"], false);

    let all = [&gateway, &twin, &alone];
    let [frozen, running, none] = load_in_turns(all, 4, 250).await;
    let at = |times: &[Duration], percent| times[times.len() * percent / 100];
    // What the slowest of a thousand calls take is the computer's noise as well: they may take twice as long as beside a Redis that runs.
    // What half of them take is not: R16's 2 ms more than without a Redis at all.
    for (percent, beside, times) in [(99, running, 2), (50, none, 1)] {
        let (frozen, beside) = (at(&frozen, percent), at(&beside, percent));
        assert!(
            frozen < beside * times + Duration::from_millis(2),
            "{percent} %: {frozen:?}, beside {beside:?}"
        );
    }

    shared.redis.thaw().unwrap();
    gateway.logs("redis is back").await;
    load(&gateway, 4, 20).await;
    let ready = gateway.get("/ready").await.json();
    assert_eq!(
        (&ready["status"], &ready["redis"]),
        (&"ok".into(), &"up".into())
    );
    for line in ["redis is away", "redis is back"] {
        assert_eq!(times_in_the_log(&gateway, line), 1, "{}", gateway.log());
    }
}

#[tokio::test]
async fn a_redis_that_is_flushed_dies_and_returns_breaks_no_call() {
    let mut shared = Shared::start(Reply::text("ok")).await;
    let gateway =
        Gateway::serve(&shared.config(PATIENT, &key("k", KEY, "rpm = 1000000"))).with_key(KEY);
    load(&gateway, 4, 10).await;
    let early = shared.redis.save().unwrap();
    shared.redis.flush().unwrap();
    load(&gateway, 4, 10).await;
    shared.redis.kill().unwrap();
    load(&gateway, 4, 10).await;
    gateway.logs("redis is away").await;
    shared.redis.restart_from(&early).unwrap();
    gateway.logs("redis is back").await;
    load(&gateway, 4, 10).await;
    assert_eq!(times_in_the_log(&gateway, "redis is away"), 1);
}

#[tokio::test]
async fn while_redis_is_away_a_limit_is_shared_out_or_denied() {
    let mut shared = Shared::start(Reply::text("ok")).await;
    let (share, deny) = share_and_deny(&shared);
    shared.redis.kill().unwrap();
    let mut passed = 0;
    for config in [&share, &share] {
        let gateway = Gateway::serve(config).with_key(KEY);
        gateway.logs("redis is away").await;
        passed += of_ten(&gateway).await;
    }
    assert_eq!(passed, 10, "five each");
    let gateway = Gateway::serve(&deny).with_key(KEY);
    is_denied(&gateway).await;
    shared.redis.restart().unwrap();
    gateway.logs("redis is back").await;
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
}

#[tokio::test]
async fn while_redis_is_frozen_a_limit_is_shared_out_or_denied() {
    let shared = Shared::start(Reply::text("ok")).await;
    let (share, deny) = share_and_deny(&shared);
    let all = [&share, &share, &deny].map(|config| Gateway::serve(config).with_key(KEY));
    shared.redis.freeze().unwrap();
    let [one, two, denying] = &all;
    // The first to ask find out, and go by the same rule as those after them.
    assert_eq!((of_ten(one).await, of_ten(two).await), (5, 5));
    is_denied(denying).await;
    shared.redis.thaw().unwrap();
    for gateway in &all {
        gateway.logs("redis is back").await;
    }
    // What was asked of it while it stood still it does now, so some of the ten are gone.
    shared.redis.flush().unwrap();
    let passed = of_ten(denying).await + of_ten(one).await;
    assert_eq!(passed, 10, "one limit again");
}

/// How many of ten calls pass.
async fn of_ten(gateway: &Gateway) -> usize {
    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(gateway.ask(&chat("m", "q")).await.status == 200);
    }
    passed
}

async fn is_denied(gateway: &Gateway) {
    for _ in 0..3 {
        let answer = gateway.ask(&chat("m", "q")).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    }
}

/// The configurations of two processes that share ten calls a minute, and what becomes of them without Redis.
fn share_and_deny(shared: &Shared) -> (String, String) {
    let limits = |keys: &str| {
        format!(
            "[limits]\nreplicas = 2\nwithout_redis = {{ keys = \"{keys}\" }}\n{}",
            key("k", KEY, "rpm = 10")
        )
    };
    (
        shared.config("", &limits("share")),
        shared.config("", &limits("deny")),
    )
}

#[tokio::test]
async fn a_redis_that_will_not_do_is_named_at_the_start() {
    for (lines, says) in [
        ("rename-command EVAL \"\"", "does not run scripts"),
        (
            "maxmemory 100mb\nmaxmemory-policy volatile-lru",
            "maxmemory-policy volatile-lru",
        ),
    ] {
        let redis = RedisServer::with(lines).unwrap();
        let config = format!(
            "store = {{ url = \"memory:\", redis = \"{}\" }}\n",
            redis.url()
        );
        let refused = Refused::by(&config, &["--listen", "127.0.0.1:0"]);
        assert!(!refused.status.success());
        assert!(refused.text.contains(says), "{}", refused.text);
    }
}
