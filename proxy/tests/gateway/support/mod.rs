//! Starts gateways, plays providers, asks questions.

mod answer;
mod command;
mod gateway;
mod load;
mod secrets;
mod wire;

use std::time::{Duration, Instant};

use rungs::{
    catalog::{Deployment, Price},
    testing::{Reply, Scripted},
};
use serde_json::{Value, json};

pub(crate) use answer::Answer;
pub(crate) use command::{Refused, folder, run};
pub(crate) use gateway::{Gateway, client};
pub(crate) use load::{Load, Record};
pub(crate) use secrets::read_all;
pub(crate) use wire::{Heard, Wire, sse};

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A key that nobody guesses.
pub(crate) const KEY: &str = "zq4-Hn81-vw7x-Tk20";

/// The key of who administers a gateway.
pub(crate) const ADMIN: &str = "Adm-9f2K-pQ71-xZ83-vB46-mN05";

/// The key of who reads metrics.
pub(crate) const SCRAPER: &str = "Sc7-Pd27-uh3m-Rq64";

/// Its `[[key]]`.
pub(crate) fn scraper() -> String {
    key("scraper", SCRAPER, "routes = [\"metrics\"]")
}

/// A `[[provider]]` on this computer.
pub(crate) fn provider(name: &str, base_url: &str) -> String {
    format!("[[provider]]\nname = \"{name}\"\nbase_url = \"{base_url}\"\nallow_private = true\n")
}

/// A free `[[model]]`.
pub(crate) fn free(id: &str, provider: &str, tier: &str) -> String {
    model(id, provider, tier, "price = 0")
}

/// A `[[model]]` with more lines.
pub(crate) fn model(id: &str, provider: &str, tier: &str, more: &str) -> String {
    format!("[[model]]\nid = \"{id}\"\nprovider = \"{provider}\"\ntier = \"{tier}\"\n{more}\n")
}

/// A `[[key]]` called `name`, with more lines.
pub(crate) fn key(name: &str, secret: &str, more: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\nkey = \"{secret}\"\n{more}\n")
}

/// The first reply at once, and nothing is left alone after failures.
pub(crate) const NO_RETRY: &str =
    "[retry]\nmax_tries = 1\n[breaker]\nfailures = 1000000\npercent = 101\n";

/// A scripted model `name` that always gives this reply.
pub(crate) fn scripted(name: &str, reply: Reply) -> Scripted {
    Scripted::at(
        Deployment::new("scripted", name).price(Price::FREE),
        [reply],
    )
}

/// A chat request.
pub(crate) fn chat(model: &str, question: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": question }] })
}

/// The same as a stream.
pub(crate) fn chat_stream(model: &str, question: &str) -> Value {
    let mut body = chat(model, question);
    body["stream"] = json!(true);
    body
}

/// Waits until `done`, or fails.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Posted and reserved of each account in the book of a gateway that [`ADMIN`] administers.
pub(crate) async fn accounts(gateway: &Gateway) -> Vec<(String, String, String)> {
    let request = gateway.request("GET", "/admin/v1/budgets");
    let answer = Answer::read(request.bearer_auth(ADMIN).send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let text = |line: &Value, member: &str| line[member].as_str().unwrap().to_owned();
    let lines = answer["data"].as_array().unwrap().iter();
    lines
        .map(|line| {
            (
                text(line, "account"),
                text(line, "posted"),
                text(line, "reserved"),
            )
        })
        .collect()
}
