//! R33: every response says what was done, and a dry run says the same beforehand.

use rungs::testing::{Reply, Upstream};
use serde_json::{Value, json};

use crate::support::*;

const QUESTIONS: [&str; 5] = [
    "What is the capital of France?",
    "Write a Rust function that reverses a linked list and explain each step.",
    "Prove that there are infinitely many primes.",
    "Translate `good morning` to Spanish.",
    "hello",
];

async fn ladder() -> (Upstream, String, Vec<rungs::testing::Scripted>) {
    let tiers: Vec<_> = (0..4)
        .map(|n| scripted(&format!("l{n}"), Reply::text("A fine answer.")))
        .collect();
    let upstream = Upstream::serve(tiers.clone()).await.unwrap();
    let prices = [
        "price = 0",
        "price = { input = \"0.1\", output = \"0.2\" }",
        "price = { input = \"1\", output = \"2\" }",
        "price = { input = \"10\", output = \"20\" }",
    ];
    let models = (0..4).map(|n| {
        model(
            &format!("l{n}"),
            "p",
            &format!("L{n}"),
            &format!(
                "capabilities = [\"general\", \"code\", \"reasoning\"]\n{}",
                prices[n]
            ),
        )
    });
    let config = format!(
        "routing = {{ max_tier = \"L3\" }}\n{}{}",
        provider("p", &upstream.base_url()),
        models.collect::<String>()
    );
    (upstream, config, tiers)
}

#[tokio::test]
async fn r33_every_response_carries_its_facts() {
    let (_upstream, config, _) = ladder().await;
    let gateway = Gateway::serve(&config);
    let whole = gateway.ask(&chat("l1", "q")).await;
    assert_eq!(whole.status, 200);
    assert!(whole.header("x-request-id").starts_with("req_"));
    for (name, value) in [
        ("x-rungs-tier", "L1"),
        ("x-rungs-model", "l1"),
        ("x-rungs-attempts", "1"),
        ("x-rungs-cache", "miss"),
    ] {
        assert_eq!(whole.header(name), value, "{name}");
    }
    let cost: f64 = whole.header("x-rungs-cost-usd").parse().unwrap();
    assert!(cost > 0.0 && cost < 0.01, "{cost}");

    let hit = gateway.ask(&chat("l1", "q")).await;
    assert_eq!(
        (
            hit.header("x-rungs-cache"),
            hit.header("x-rungs-cost-usd"),
            hit.header("x-rungs-attempts")
        ),
        ("hit", "0", "0")
    );
    assert_eq!(
        (hit.header("x-rungs-tier"), hit.header("x-rungs-model")),
        ("L1", "l1")
    );
    assert_ne!(hit.header("x-request-id"), whole.header("x-request-id"));
    assert_eq!(hit.text, whole.text);

    let off = gateway
        .ask_with(&chat("l1", "q"), &[("x-rungs-cache", "bypass")])
        .await;
    assert_eq!(off.header("x-rungs-cache"), "off");

    let stream = gateway.ask(&chat_stream("l2", "q")).await;
    for (name, value) in [
        ("x-rungs-tier", "L2"),
        ("x-rungs-model", "l2"),
        ("x-rungs-attempts", "1"),
        ("x-rungs-cache", "miss"),
        ("x-rungs-cost-usd", ""),
    ] {
        assert_eq!(stream.header(name), value, "{name}");
    }
    let facts = stream.last_words();
    assert_eq!(facts["request_id"], stream.header("x-request-id"));
    assert_eq!(
        (
            &facts["tier"],
            &facts["model"],
            &facts["attempts"],
            &facts["cache"]
        ),
        (&json!("L2"), &json!("l2"), &json!(1), &json!("miss"))
    );
    assert!(facts["cost_usd"].as_str().unwrap().parse::<f64>().unwrap() > 0.0);

    let wrong = gateway.ask(&json!({"model": "l1"})).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn r33_the_originals_route_tells_the_same() {
    let (_upstream, config, tiers) = ladder().await;
    let gateway = Gateway::serve(&config);
    let body = json!({"message": "hello", "conversationId": "c1", "userId": "u", "qualityLevel": "normal"});
    let answer = Answer::read(
        gateway
            .post("/v1/route", body.to_string())
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    assert_eq!(
        told["result"],
        json!({"response": "A fine answer.", "model": "l0", "provider": "p"})
    );
    assert_eq!(
        (
            &told["routing"]["tier"],
            &told["routing"]["attempts"],
            &told["routing"]["fromCache"]
        ),
        (&json!("L0"), &json!(1), &json!(false))
    );
    assert_eq!(told["context"]["conversationId"], "c1");
    assert_eq!(told["performance"]["tokens"]["output"], 3);
    assert_eq!(
        (
            answer.header("x-rungs-tier"),
            answer.header("x-rungs-attempts"),
            answer.header("x-rungs-cost-usd")
        ),
        ("L0", "1", "0")
    );
    let critical = json!({"message": "hello", "qualityLevel": "critical"});
    let critical = Answer::read(
        gateway
            .post("/v1/route", critical.to_string())
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(critical.json()["routing"]["tier"], "L1");
    assert_eq!(tiers[1].calls(), 1);
}

#[tokio::test]
async fn r33_the_dry_run_says_what_a_call_then_does() {
    let (_upstream, config, tiers) = ladder().await;
    let gateway = Gateway::serve(&config);
    let wishes: [&[(&str, &str)]; 5] = [
        &[],
        &[("x-rungs-quality", "critical")],
        &[("x-rungs-min-tier", "L2")],
        &[("x-rungs-max-tier", "L0"), ("x-rungs-quality", "critical")],
        &[("x-rungs-min-tier", "L1"), ("x-rungs-max-tier", "L1")],
    ];
    let mut seen = std::collections::BTreeSet::new();
    for question in QUESTIONS {
        for headers in wishes {
            let body = chat("auto", question);
            let calls = || {
                tiers
                    .iter()
                    .map(rungs::testing::Scripted::calls)
                    .sum::<usize>()
            };
            let before = calls();
            let request = gateway.post("/v1/route/explain", body.to_string());
            let request = headers.iter().fold(request, |request, (name, value)| {
                request.header(*name, *value)
            });
            let decision: Value = Answer::read(request.send().await.unwrap()).await.json();
            assert_eq!(calls(), before, "a dry run asks nobody");
            let first = decision["candidates"][0].clone();
            let answer = gateway.ask_with(&body, headers).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(
                first["model"],
                answer.header("x-rungs-model"),
                "{question} {headers:?} {decision}"
            );
            assert_eq!(first["tier"], answer.header("x-rungs-tier"));
            assert_eq!(decision["start"], first["tier"]);
            seen.insert(answer.header("x-rungs-tier").to_owned());
        }
    }
    assert!(seen.len() >= 3, "{seen:?}");
    // The command line knows the same.
    let told = gateway.rungs(&["explain", "--json", QUESTIONS[0]]);
    assert_eq!(
        serde_json::from_str::<Value>(&told).unwrap()["candidates"][0]["model"],
        "l0"
    );
}

#[tokio::test]
async fn auto_goes_no_higher_than_its_key() {
    let (_upstream, config, _) = ladder().await;
    let config = config.replace(
        "max_tier = \"L3\"",
        "max_tier = \"L3\", default_tier = \"L2\"",
    );
    let keys = "[[key]]\nname = \"low\"\nkey = \"sk-low-2c9e41b07d5a86f3\"\nmax_tier = \"L1\"\n\
        [[key]]\nname = \"any\"\nkey = \"sk-any-7d03b5e1f6a9284c\"\n";
    let gateway = Gateway::serve(&format!("{config}{keys}"));
    for (key, tier) in [
        ("Bearer sk-any-7d03b5e1f6a9284c", "L2"),
        ("Bearer sk-low-2c9e41b07d5a86f3", "L1"),
    ] {
        let headers = [("authorization", key), ("x-rungs-cache", "bypass")];
        let answer = gateway.ask_with(&chat("auto", "q"), &headers).await;
        assert_eq!(answer.header("x-rungs-tier"), tier, "{}", answer.text);
    }
    let headers = [
        ("authorization", "Bearer sk-any-7d03b5e1f6a9284c"),
        ("x-rungs-min-tier", "L2"),
        ("x-rungs-max-tier", "L1"),
    ];
    let answer = gateway.ask_with(&chat("auto", "q"), &headers).await;
    assert_eq!(
        (answer.status, &answer.error()["param"]),
        (400, &json!("x-rungs-min-tier"))
    );
}
