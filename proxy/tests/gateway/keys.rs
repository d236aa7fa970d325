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
    let (_, secret) = create(&gateway, &["capped", "--budget", "1.1/day"]);
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
    let (_, secret) = create(&gateway, &["burst", "--budget", "1.1/day"]);
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

#[tokio::test]
async fn the_command_knows_every_verb_and_option() {
    let (_, _upstream, gateway) = gateway().await;
    let (parent, _) = create(
        &gateway,
        &[
            "top",
            "--tenant",
            "a",
            "--budget",
            "5/day",
            "--budget",
            "20/week@sun",
            "--budget",
            "50/month@15 Europe/Berlin",
            "--budget",
            "500/total",
            "--tz",
            "Asia/Tokyo",
            "--rpm",
            "60",
            "--tpm",
            "100000",
            "--models",
            "m,dear",
            "--max-tier",
            "L1",
            "--routes",
            "chat,models",
            "--expires",
            "30d",
            "--warn-at",
            "80",
            "--on-exhaust",
            "refuse",
            "--on-store-down",
            "open",
        ],
    );
    let (child, secret) = create(
        &gateway,
        &[
            "child", "--parent", &parent, "--models", "m", "--budget", "0.01/day",
        ],
    );
    let show = |id: &str| -> Value {
        serde_json::from_str(&gateway.rungs(&["keys", "show", id])).unwrap()
    };
    let top = show(&parent);
    let budgets: Vec<_> = top["budgets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["budget"].clone())
        .collect();
    assert_eq!(
        budgets,
        [
            "5/day Asia/Tokyo",
            "20/week@sun Asia/Tokyo",
            "50/month@15 Europe/Berlin",
            "500/total"
        ]
    );
    assert_eq!(
        json!([
            top["models"],
            top["max_tier"],
            top["routes"],
            top["warn_at"],
            top["on_exhaust"],
            top["on_store_down"]
        ]),
        json!([
            ["m", "dear"],
            "L1",
            ["chat", "models"],
            80,
            "refuse",
            "open"
        ])
    );
    assert!(top["expires"].is_string() && top["parent"].is_null());
    assert_eq!(show(&child)["parent"], *parent);
    let listed = list(&gateway);
    let budget = &listed.iter().find(|key| key["id"] == *child).unwrap()["budgets"][0];
    assert_eq!(
        json!([budget["limit"], budget["posted"], budget["reserved"]]),
        json!(["0.01", "0", "0"])
    );

    for (args, why) in [
        (
            &["--parent", &parent, "--max-tier", "L2"][..],
            "reaches no higher",
        ),
        (&["--parent", "nobody"], "no such key"),
        (&["--project", "none"], "no project"),
        (&["--budget", "1/hour"], "windows are"),
        (&["--budget", "1/day", "--budget", "2/day"], "two budgets"),
        (&["--routes", "admin"], "none of the routes"),
        (&["--expires", "yesterday"], "neither"),
        (&["--tz", "Mars/Olympus"], "no time zone"),
        (&["--on-exhaust", "explode"], "unknown variant"),
    ] {
        let args = [&["keys", "create", "--name", "n"], args].concat();
        let (status, out, err) = run(&gateway.folder, &args);
        assert!(
            !status.success() && err.contains(why) && out.is_empty(),
            "{args:?}: {err}"
        );
    }
    assert_eq!(list(&gateway).len(), 2, "what was refused was not made");

    let rotated = gateway.rungs(&["keys", "rotate", &child, "--grace", "1h", "--json"]);
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    let fresh = rotated["key"].as_str().unwrap().to_owned();
    let gateway = gateway.with_key(&secret);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200, "grace");
    let gateway = gateway.with_key(&fresh);
    assert_eq!(gateway.ask(&chat("m", "q")).await.status, 200);
    gateway.rungs(&["keys", "revoke", &parent]);
    assert!(
        list(&gateway).iter().all(|key| key["revoked"] == true),
        "all of the family"
    );
}

/// All files in a folder and the folders in it.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false if path.is_file() => vec![path],
            // A socket has nothing to read.
            false => Vec::new(),
        })
        .collect()
}
