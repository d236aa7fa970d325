//! Limits per minute, and how answers tell them.

use rungs::testing::{Reply, Scripted, Upstream};
use serde_json::json;

use crate::support::*;

const LIMITS: [&str; 6] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];

async fn gateway(settings: &str, model_lines: &str) -> (Scripted, Upstream, Gateway) {
    let provider_model = scripted("m", Reply::text("one two three"));
    let upstream = Upstream::serve([provider_model.clone()]).await.unwrap();
    let gateway = Gateway::serve(&format!(
        "{settings}{}{}",
        provider("p", &upstream.base_url()),
        model("m", "p", "L0", &format!("price = 0\n{model_lines}")),
    ));
    (provider_model, upstream, gateway)
}

#[tokio::test]
async fn every_answer_of_a_limited_key_tells_how_its_limits_stand() {
    let settings = format!(
        "routing = {{ on_stream = \"pass\" }}\n{}{}",
        key("limited", KEY, "rpm = 4\ntpm = 100000"),
        key("free", "another-key-of-16", "")
    );
    let (_, _upstream, gateway) = gateway(&settings, "").await;
    let gateway = gateway.with_key(KEY);
    let whole = chat("m", "q");
    let answers = [
        gateway.ask(&whole).await,
        gateway.ask(&whole).await,
        gateway.ask(&chat_stream("m", "q")).await,
        gateway.ask(&chat("m", "r")).await,
        gateway.ask(&whole).await,
    ];
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, if n < 4 { 200 } else { 429 }, "{answer:?}");
        let all: Vec<_> = LIMITS.iter().map(|name| answer.header(name)).collect();
        assert_eq!((all[0], all[3]), ("4", "100000"));
        assert_eq!(all[1], 3usize.saturating_sub(n).to_string());
        let tokens: u32 = all[4].parse().unwrap();
        assert!((90_000..100_000).contains(&tokens), "{all:?}");
        assert!(all[2].ends_with('s') && all[5].ends_with('s'), "{all:?}");
    }
    let refused = &answers[4];
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=15).contains(&wait), "{wait}");
    assert_eq!(refused.error()["code"], "rate_limit_exceeded");

    let gateway = gateway.with_key("another-key-of-16");
    let answer = gateway.ask(&whole).await;
    assert!(
        LIMITS.iter().all(|name| answer.header(name).is_empty()),
        "{answer:?}"
    );
}

#[tokio::test]
async fn each_end_user_has_limits_of_their_own() {
    let (_, _upstream, gateway) =
        gateway("limits = { user_rpm = 2, user_tpm = 100000 }\n", "").await;
    let of = |user: &str| {
        let mut body = chat("m", "q");
        body["user"] = json!(user);
        body
    };
    for user in ["a", "b"] {
        for n in 0..3 {
            let answer = gateway.ask(&of(user)).await;
            assert_eq!(answer.status, if n < 2 { 200 } else { 429 }, "{user} {n}");
            assert_eq!(answer.header(LIMITS[0]), "2");
        }
    }
    let answer = gateway.ask(&of("a")).await;
    let error = answer.error();
    assert!(
        error["message"].as_str().unwrap().contains("of this user"),
        "{error}"
    );
    assert_eq!(
        gateway.ask(&chat("m", "q")).await.status,
        200,
        "nobody in particular"
    );
}

#[tokio::test]
async fn a_model_has_limits_of_its_own() {
    let (provider_model, _upstream, gateway) =
        gateway(&format!("{NO_RETRY}[cache]\nenabled = false\n"), "rpm = 2").await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = gateway.ask(&chat("m", "q")).await;
        assert!(answer.header(LIMITS[0]).is_empty(), "not the caller's");
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(provider_model.calls(), 2);
}
