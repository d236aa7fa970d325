//! Keys that are made while the gateway runs, and what they may do.

use rungs::testing::{Reply, Upstream};
use serde_json::{Value, json};

use crate::support::*;

/// Dear enough that a hundredth of a dollar is soon spent: 1000 tokens are a dollar.
const DEAR: &str = "price = { input = \"1000\", output = \"1000\" }\nmax_output = 10";

async fn gateway() -> (rungs::testing::Scripted, Upstream, Gateway) {
    let provider_model = scripted("m", Reply::text("one two three"));
    let upstream = Upstream::serve([
        provider_model.clone(),
        scripted("dear", Reply::text("one two three")),
    ])
    .await
    .unwrap();
    let models = free("m", "p", "L0") + &model("dear", "p", "L1", DEAR);
    let gateway = Gateway::serve(&format!(
        "{}{}{models}",
        key("root", KEY, ""),
        provider("p", &upstream.base_url())
    ));
    (provider_model, upstream, gateway)
}

fn create(gateway: &Gateway, args: &[&str]) -> (String, String) {
    let made: Value = serde_json::from_str(
        &gateway.rungs(&[&["keys", "create", "--json", "--name"], args].concat()),
    )
    .unwrap();
    (
        made["id"].as_str().unwrap().to_owned(),
        made["key"].as_str().unwrap().to_owned(),
    )
}

fn list(gateway: &Gateway) -> Vec<Value> {
    serde_json::from_str(&gateway.rungs(&["keys", "list", "--json"])).unwrap()
}

#[tokio::test]
async fn a_key_is_made_used_listed_and_taken_back() {
    let (_, _upstream, gateway) = gateway().await;
    let (id, secret) = create(
        &gateway,
        &[
            "ann",
            "--tenant",
            "a",
            "--models",
            "m",
            "--max-tier",
            "L0",
            "--rpm",
            "1000",
        ],
    );
    assert!(
        secret.starts_with("sk-rungs-") && secret.len() > 64,
        "{secret}"
    );
    let (other, unused) = create(&gateway, &["bob"]);
    let gateway = gateway.with_key(&secret);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);

    // Held to its models; what it may not ask for does not exist for it.
    let refused = gateway.ask(&chat("dear", "q")).await;
    assert_eq!(
        (refused.status, refused.error()["param"].clone()),
        (404, json!("model"))
    );
    let models = gateway.get("/v1/models").await.json();
    assert_eq!(models["data"].as_array().unwrap().len(), 1, "{models}");
    assert_eq!(gateway.get("/v1/models/dear").await.status, 404);

    let listed = list(&gateway);
    let ann = listed.iter().find(|key| key["id"] == *id).unwrap();
    assert_eq!(
        (
            &ann["name"],
            &ann["tenant"],
            &ann["models"],
            &ann["max_tier"],
            &ann["rpm"],
            &ann["revoked"]
        ),
        (
            &json!("ann"),
            &json!("a"),
            &json!(["m"]),
            &json!("L0"),
            &json!(1000),
            &json!(false)
        )
    );
    assert!(
        !json!(listed).to_string().contains(&secret[30..]),
        "the list shows a secret"
    );

    // Taken back before it was ever used: it never works. One that is in use may be trusted for a moment longer.
    gateway.rungs(&["keys", "revoke", &other]);
    assert_eq!(
        list(&gateway)
            .iter()
            .filter(|key| key["revoked"] == true)
            .count(),
        1
    );
    let gateway = gateway.with_key(&unused);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 401);
    let (status, _, err) = run(&gateway.folder, &["keys", "revoke", "nobody"]);
    assert!(!status.success() && err.contains("nobody"), "{err}");
    gateway.rungs(&["keys", "revoke", &id]);
    let gateway = gateway.with_key(&secret).restart().await;
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 401);

    // No file has the secret in it.
    for file in files(&gateway.folder) {
        let bytes = std::fs::read(file).unwrap();
        assert!(
            !bytes
                .windows(32)
                .any(|window| window == &secret.as_bytes()[secret.len() - 32..])
        );
    }
}

#[tokio::test]
async fn a_request_limit_is_429_and_says_when() {
    let (provider_model, _upstream, gateway) = gateway().await;
    let (_, secret) = create(&gateway, &["limited", "--rpm", "2"]);
    let gateway = gateway.with_key(&secret);
    // Also what the cache answers is a request.
    for _ in 0..2 {
        assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
    }
    let refused = gateway.ask(&chat("m", "q")).await;
    assert_eq!(
        (refused.status, refused.error()["code"].clone()),
        (429, json!("rate_limit_exceeded"))
    );
    assert!(
        (1..=60).contains(&refused.header("retry-after").parse::<u64>().unwrap()),
        "{refused:?}"
    );
    assert_eq!(provider_model.calls(), 1);
    // Others are not limited by it.
    assert_eq!(gateway.with_key(KEY).ask(&chat("m", "q")).await.status, 200);
}

#[tokio::test]
async fn a_budget_outlives_the_process() {
    let (_, _upstream, gateway) = gateway().await;
    // Room for one worst case, not for another after it.
    let (_, secret) = create(&gateway, &["capped", "--budget", "0.14/day"]);
    let gateway = gateway.with_key(&secret);
    let first = gateway.ask(&chat("dear", "first")).await;
    assert_eq!(first.status, 200, "{first:?}");
    let spent: f64 = first.header("x-rungs-cost-usd").parse().unwrap();
    assert!(spent > 0.01, "{spent}");
    let refused = gateway.ask(&chat("dear", "second")).await;
    assert_eq!(
        (refused.status, refused.error()["code"].clone()),
        (429, json!("insufficient_quota")),
        "{refused:?}"
    );

    let gateway = gateway.restart().await;
    let refused = gateway.ask(&chat("dear", "third")).await;
    assert_eq!(
        (refused.status, refused.error()["code"].clone()),
        (429, json!("insufficient_quota")),
        "{refused:?}"
    );
    // What is free is still answered.
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
    // Others pay for themselves.
    assert_eq!(
        gateway
            .with_key(KEY)
            .ask(&chat("dear", "fourth"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn r01_a_new_key_is_held_to_its_budget_from_the_first_burst_on() {
    let (_, _upstream, gateway) = gateway().await;
    let (_, secret) = create(&gateway, &["burst", "--budget", "0.14/day"]);
    let gateway = std::sync::Arc::new(gateway.with_key(&secret));
    let calls: Vec<_> = (0..40)
        .map(|number| {
            let gateway = std::sync::Arc::clone(&gateway);
            tokio::spawn(async move {
                gateway
                    .ask(&chat("dear", &format!("q{number:02}")))
                    .await
                    .status
            })
        })
        .collect();
    let mut answered = 0;
    for call in calls {
        let status = call.await.unwrap();
        assert!(status == 200 || status == 429, "{status}");
        answered += usize::from(status == 200);
    }
    assert_eq!(answered, 1);
}

/// All files in a folder and the folders in it.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}
