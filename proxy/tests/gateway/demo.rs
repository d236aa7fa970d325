//! The demo does what it prints.

use std::time::{Duration, Instant};

use crate::support::*;

/// What a printed curl line sends: its body and its key.
fn printed(line: &str) -> (serde_json::Value, Option<&str>) {
    let body = line.rsplit_once("-d '").unwrap().1.trim_end_matches('\'');
    let bearer = line
        .split_once("Bearer ")
        .map(|(_, rest)| rest.split('\'').next().unwrap());
    (serde_json::from_str(body).unwrap(), bearer)
}

#[tokio::test]
async fn the_demo_starts_in_a_second_and_does_what_it_prints() {
    // The best of three: the machine may be busy with other tests.
    let mut quickest = Duration::MAX;
    let mut gateway = None;
    for _ in 0..3 {
        let start = Instant::now();
        gateway = Some(Gateway::demo());
        quickest = quickest.min(start.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    let gateway = gateway.unwrap();
    let printed_text = gateway.prints("Spain").await;
    let lines: Vec<&str> = printed_text
        .lines()
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(lines.len(), 3, "{printed_text}");
    for line in &lines {
        assert!(
            line.contains(&format!("{}/v1/chat/completions", gateway.url))
                && line.contains("content-type: application/json"),
            "{line}"
        );
    }
    let models = gateway.get("/v1/models").await.json();
    let names: Vec<&str> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "auto",
            "demo-l0",
            "demo-l1",
            "demo-l2",
            "demo-l3",
            "demo-embed"
        ]
    );

    let (easy, none) = printed(lines[0]);
    assert_eq!(none, None);
    let first = gateway.ask(&easy).await;
    assert_eq!((first.status, first.content()), (200, "Paris.".to_owned()));
    assert_eq!(
        (
            first.header("x-rungs-tier"),
            first.header("x-rungs-attempts"),
            first.header("x-rungs-cache")
        ),
        ("L0", "1", "miss")
    );
    let again = gateway.ask(&easy).await;
    assert_eq!(
        (
            again.header("x-rungs-cache"),
            again.header("x-rungs-cost-usd")
        ),
        ("hit", "0")
    );
    assert_eq!(again.text, first.text);

    let (hard, _) = printed(lines[1]);
    let climbed = gateway.ask(&hard).await;
    assert_eq!(climbed.status, 200);
    assert!(
        climbed.header("x-rungs-attempts").parse::<u32>().unwrap() >= 2,
        "{climbed:?}"
    );
    assert_ne!(climbed.header("x-rungs-tier"), "L0");
    gateway.logs("climb").await;

    let (spent, key) = printed(lines[2]);
    let refused = gateway
        .ask_with(
            &spent,
            &[("authorization", &format!("Bearer {}", key.unwrap()))],
        )
        .await;
    assert_eq!(
        (refused.status, refused.error()["code"].clone()),
        (429, "insufficient_quota".into()),
        "{refused:?}"
    );
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("budget"),
        "{refused:?}"
    );

    // The same as streams, as vectors and with a tool.
    let mut stream = easy.clone();
    stream["stream"] = true.into();
    assert_eq!(gateway.ask(&stream).await.streamed(), "Paris.");
    let vectors = serde_json::json!({"model": "demo-embed", "input": ["a", "b"]});
    let vectors = Answer::read(
        gateway
            .post("/v1/embeddings", vectors.to_string())
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (
            vectors.status,
            vectors.json()["data"].as_array().unwrap().len()
        ),
        (200, 2),
        "{vectors:?}"
    );
}
