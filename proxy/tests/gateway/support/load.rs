use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rungs::{
    catalog::{Deployment, Money, Price},
    testing::{Reply, Scripted, Upstream},
};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{ADMIN, Gateway, KEY, chat, chat_stream, client, key, model, provider};

const CLIENTS: usize = 8;

/// A provider whose bill is known, and questions to it whose answers came to their end.
pub(crate) struct Load {
    provider_model: Scripted,
    upstream: Upstream,
    /// By request id, what the answer says it cost.
    told: Arc<Mutex<HashMap<String, String>>>,
}

/// What a ledger says of a load.
pub(crate) struct Record {
    pub(crate) rows: Vec<Value>,
    pub(crate) charged: Money,
    pub(crate) billed: Money,
    pub(crate) told: usize,
}

impl Load {
    pub(crate) async fn new() -> Self {
        let price = Price::per_million("1".parse().unwrap(), "2".parse().unwrap());
        let deployment = Deployment {
            max_output: Some(100),
            ..Deployment::new("scripted", "m").price(price)
        };
        let words = Reply::text("one two three").gap(Duration::from_millis(1));
        let provider_model = Scripted::at(deployment, [words]);
        Self {
            upstream: Upstream::serve([provider_model.clone()]).await.unwrap(),
            provider_model,
            told: Arc::default(),
        }
    }

    /// With [`KEY`], whose budget is ample.
    pub(crate) fn config(&self) -> String {
        format!(
            "[log]\nlevel = \"error\"\n[limits]\nmax_attempts = 1\n[admin]\nkey = \"{ADMIN}\"\n{}{}{}",
            key("load", KEY, "budget = \"1000\""),
            provider("p", &self.upstream.base_url()),
            model(
                "m",
                "p",
                "L0",
                "price = { input = \"1\", output = \"2\" }\nmax_output = 100"
            ),
        )
    }

    /// Clients that ask until nobody answers.
    pub(crate) fn begin(&self, gateway: &Gateway, run: usize) -> Vec<JoinHandle<()>> {
        (0..CLIENTS)
            .map(|number| self.client(gateway, run, number))
            .collect()
    }

    fn client(&self, gateway: &Gateway, run: usize, number: usize) -> JoinHandle<()> {
        let (told, whole) = (Arc::clone(&self.told), number.is_multiple_of(2));
        let url = format!("{}/v1/chat/completions", gateway.url);
        let http = client(Duration::from_millis(300));
        tokio::spawn(async move {
            for question in 0.. {
                let question = format!("{run} {number} {question}");
                let body = match whole {
                    true => chat("m", &question),
                    false => chat_stream("m", &question),
                };
                let request = http.post(&url).header("content-type", "application/json");
                let request = request.bearer_auth(KEY);
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
    }

    /// Reads the ledger of a gateway that has ended. Fails if a row is there twice, or if one is not that somebody was told of.
    pub(crate) fn check(&self, gateway: &Gateway) -> Record {
        gateway.rungs(&["ledger", "verify"]);
        let export = gateway.rungs(&["ledger", "export"]);
        let rows: Vec<Value> = export
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut costs = HashMap::new();
        for row in &rows {
            let name = (row["request_id"].to_string(), row["attempt"].to_string());
            let cost = row["cost_usd"].as_str().unwrap().to_owned();
            assert!(costs.insert(name, cost).is_none(), "written twice: {row}");
        }
        let told = self.told.lock().unwrap();
        for (request, cost) in &*told {
            let name = (format!("\"{request}\""), "1".to_owned());
            assert_eq!(costs.get(&name), Some(cost), "lost: {request}");
        }
        let charged = rows.iter().map(|row| row["cost_nanos"].as_i64().unwrap());
        Record {
            charged: Money::from_nanos(charged.sum()),
            billed: self.provider_model.bill(),
            told: told.len(),
            rows,
        }
    }
}

impl Record {
    /// Fails if what the budget of the load counts is not what is on the ledger, or if something is still held.
    pub(crate) fn is_what_budgets_say(&self, stand: &[(String, String, String)]) {
        let [(account, posted, reserved)] = stand else {
            panic!("{stand:?}");
        };
        assert_eq!((&**account, &**reserved), ("key:load", "0"));
        assert_eq!(posted.parse::<Money>().unwrap(), self.charged);
    }
}

/// The cost in the last comment of a stream.
fn last_cost(text: &str) -> Option<String> {
    let comment = text.lines().rev().find(|line| line.contains("cost_usd"))?;
    let facts: Value = serde_json::from_str(&comment[comment.find('{')?..]).ok()?;
    Some(facts["cost_usd"].as_str()?.to_owned())
}
