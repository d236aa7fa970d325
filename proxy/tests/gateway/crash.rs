//! R18, the other part: a gateway that is killed, whenever and wherever, loses no row that a client was told of, writes none twice,
//! and has charged at least what the provider has.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rungs::{
    catalog::{Deployment, Money, Price},
    testing::{Reply, Scripted, Upstream},
};
use serde_json::Value;

use crate::support::*;

/// As often as the suite kills; `cargo xtask crash --runs` says another number.
const CRASHES: usize = 50;

/// Where it stops, waiting to be killed, beside anywhere else.
const PLACES: [&str; 4] = [
    "journal.before_write",
    "journal.after_write",
    "journal.after_sync",
    "journal.after_turn",
];

const CLIENTS: usize = 8;

/// Questions whose answers came to their end: by request id, what the answer says it cost.
type Told = Arc<Mutex<HashMap<String, String>>>;

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_crash_loses_no_row_and_writes_none_twice() {
    let crashes = std::env::var("RUNGS_CRASHES").map_or(CRASHES, |runs| runs.parse().unwrap());
    let price = Price::per_million("1".parse().unwrap(), "2".parse().unwrap());
    let deployment = Deployment {
        max_output: Some(100),
        ..Deployment::new("scripted", "m").price(price)
    };
    let words = Reply::text("one two three").gap(Duration::from_millis(1));
    let provider_model = Scripted::at(deployment, [words]);
    let upstream = Upstream::serve([provider_model.clone()]).await.unwrap();
    let mut gateway = Gateway::serve(&format!(
        "[log]\nlevel = \"error\"\n[limits]\nmax_attempts = 1\n{}{}",
        provider("p", &upstream.base_url()),
        model(
            "m",
            "p",
            "L0",
            "price = { input = \"1\", output = \"2\" }\nmax_output = 100"
        ),
    ));
    let told = Told::default();
    let mut slowest = Duration::ZERO;
    for run in 0..crashes {
        let load = load(&gateway, &told, run);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..120))).await;
        let place = format!(
            "{}={}*off->pause",
            fastrand::choice(PLACES).unwrap(),
            fastrand::u8(2..40)
        );
        let environment: &[(&str, &str)] = match run % 2 {
            0 => &[],
            _ => &[("FAILPOINTS", &place)],
        };
        let began = Instant::now();
        gateway = gateway.killed(environment);
        slowest = slowest.max(began.elapsed());
        for client in load {
            client.await.unwrap();
        }
    }
    // The last one ends in order, so that all its rows are in the database.
    gateway = gateway.killed(&[]).restart().await;
    let export = gateway.rungs(&["ledger", "export"]);
    let rows: Vec<Value> = export
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    gateway.rungs(&["ledger", "verify"]);

    let mut costs = HashMap::new();
    for row in &rows {
        let name = (row["request_id"].to_string(), row["attempt"].to_string());
        let cost = row["cost_usd"].as_str().unwrap().to_owned();
        assert!(costs.insert(name, cost).is_none(), "written twice: {row}");
    }
    let told = told.lock().unwrap();
    for (request, cost) in &*told {
        let name = (format!("\"{request}\""), "1".to_owned());
        assert_eq!(costs.get(&name), Some(cost), "lost: {request}");
    }
    let charged: i64 = rows
        .iter()
        .map(|row| row["cost_nanos"].as_i64().unwrap())
        .sum();
    let bill = provider_model.bill();
    assert!(
        Money::from_nanos(charged) >= bill,
        "charged {charged}, billed {bill}"
    );
    let interrupted = rows
        .iter()
        .filter(|row| row["status"] == "interrupted")
        .count();
    println!(
        "{crashes} kills, {} answers told, {} rows, {interrupted} interrupted, charged {}, billed {bill}, slowest start {slowest:?}",
        told.len(),
        rows.len(),
        Money::from_nanos(charged),
    );
    assert!(
        told.len() > crashes,
        "the load was too small to show anything"
    );
}

/// Clients that ask until nobody answers.
fn load(gateway: &Gateway, told: &Told, run: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let client = |number: usize| {
        let (told, whole) = (Arc::clone(told), number.is_multiple_of(2));
        let url = format!("{}/v1/chat/completions", gateway.url);
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_millis(300))
            .build()
            .unwrap();
        tokio::spawn(async move {
            for question in 0.. {
                let question = format!("{run} {number} {question}");
                let body = match whole {
                    true => chat("m", &question),
                    false => chat_stream("m", &question),
                };
                let request = http.post(&url).header("content-type", "application/json");
                let Ok(answer) = request.body(body.to_string()).send().await else {
                    return;
                };
                let header = |name| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
                let (id, cost) = (header("x-request-id"), header("x-rungs-cost-usd"));
                let status = answer.status();
                let Ok(text) = answer.text().await else {
                    return;
                };
                if status == 200 && (whole || text.ends_with("data: [DONE]\n\n")) {
                    let cost = cost.or_else(|| last_cost(&text));
                    told.lock().unwrap().insert(id.unwrap(), cost.unwrap());
                }
            }
        })
    };
    (0..CLIENTS).map(client).collect()
}

/// The cost in the last comment of a stream.
fn last_cost(text: &str) -> Option<String> {
    let comment = text.lines().rev().find(|line| line.contains("cost_usd"))?;
    let facts: Value = serde_json::from_str(&comment[comment.find('{')?..]).ok()?;
    Some(facts["cost_usd"].as_str()?.to_owned())
}
