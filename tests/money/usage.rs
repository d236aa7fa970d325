//! R2 against usage in the providers' words: `tests/fixtures/usage/<case>.json` has what a provider says, the price of the list, and the
//! cost worked out by hand. Its README tells where the words come from.

use std::{collections::BTreeMap, convert::Infallible, fs, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use rungs::{
    catalog::{ClassPrices, Deployment, Money, Price, Rates},
    json::RawObject,
    layers::{budget::BudgetLayer, cost::CostLayer},
    model::{Call, CallContext, ModelRequest, Operation, Usage},
    provider::{Endpoint, HttpProvider, openai::OpenAi},
    store::{
        Budgets, LedgerRow,
        memory::{MemoryBudgets, MemoryLedger},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

const ACCOUNT: &str = "key:k";

#[derive(Deserialize)]
struct Case {
    #[serde(skip)]
    name: String,
    model: String,
    price_list: String,
    price: Value,
    operation: String,
    form: String,
    answer: serde_json::Map<String, Value>,
    tokens: Usage,
    by_hand: Vec<String>,
    cost_nanos: i64,
    source: String,
}

impl Case {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/usage");
        let files = fs::read_dir(root).unwrap().map(|file| file.unwrap().path());
        files
            .filter(|file| file.extension().is_some_and(|e| e == "json"))
            .map(|file| Self {
                name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
                ..serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap()
            })
            .collect()
    }

    fn deployment(&self) -> Deployment {
        let (provider, model) = self.model.split_once('/').unwrap();
        let usual = price(&self.price);
        let class = |name: &str| match &self.price[name] {
            Value::Null => None,
            Value::String(factor) => Some(usual.times(factor.parse::<Money>().unwrap().nanos())),
            table => Some(price(table)),
        };
        Deployment {
            class_prices: ClassPrices {
                batch: class("batch"),
                flex: class("flex"),
                priority: class("priority"),
            },
            price_version: Some((*self.price_list).into()),
            ..Deployment::new(provider, model).price(usual)
        }
    }

    /// A request that may use as many tokens as the answer tells.
    fn request(&self, streamed: bool) -> ModelRequest {
        let text = "x".repeat(usize::try_from(self.tokens.total_input()).unwrap());
        let (op, mut body) = match &*self.operation {
            "embeddings" => (
                Operation::Embeddings,
                json!({ "model": "m", "input": text }),
            ),
            _ => (
                Operation::Chat,
                json!({
                    "model": "m",
                    "messages": [{ "role": "user", "content": text }],
                    "max_tokens": self.tokens.total_output().max(1),
                    "stream": streamed,
                }),
            ),
        };
        if let Some(class) = self.answer.get("service_tier") {
            body["service_tier"] = class.clone();
        }
        let call = Call {
            accounts: Arc::new([ACCOUNT.into()]),
            ..Call::new("t")
        };
        let body = RawObject::from_serialize(&body).unwrap();
        ModelRequest::new(op, body, CallContext::new(call))
    }

    /// What the provider sends.
    fn body(&self, streamed: bool) -> Bytes {
        let mut answer = match (&*self.operation, streamed) {
            ("embeddings", _) => json!({ "object": "list", "data": [] }),
            (_, false) => {
                json!({ "choices": [{ "index": 0, "message": { "content": "x" }, "finish_reason": "stop" }] })
            }
            (_, true) => json!({ "choices": [] }),
        };
        let members = answer.as_object_mut().unwrap();
        members.extend(self.answer.clone());
        if !streamed {
            return answer.to_string().into();
        }
        let content = json!({ "choices": [{ "index": 0, "delta": { "content": "x" }, "finish_reason": "stop" }] });
        format!("data: {content}\n\ndata: {answer}\n\ndata: [DONE]\n\n").into()
    }

    /// The ledger's row, and what the budget says.
    async fn play(&self, streamed: bool) -> (LedgerRow, Money) {
        let kind = match streamed {
            true => "text/event-stream",
            false => "application/json",
        };
        let body = self.body(streamed);
        let transport = tower::service_fn(move |_| {
            let frame = Ok::<_, Infallible>(Frame::data(body.clone()));
            let response = Response::builder().header("content-type", kind);
            let response = response.body(StreamBody::new(stream::iter([frame])));
            std::future::ready(Ok::<_, Infallible>(response.unwrap()))
        });
        let deployment = Arc::new(self.deployment());
        let ledger = Arc::new(MemoryLedger::default());
        let book = Arc::new(MemoryBudgets::new());
        book.set(ACCOUNT, vec!["100".parse().unwrap()]);
        let stack = ServiceBuilder::new()
            .layer(BudgetLayer::new(deployment.clone(), book.clone()))
            .layer(CostLayer::new(deployment.clone(), ledger.clone()))
            .service(HttpProvider::new(
                transport,
                (*deployment).clone(),
                Endpoint::new("p", "https://p.test/v1").unwrap(),
                Arc::new(OpenAi::new()),
            ));
        let answer = stack.oneshot(self.request(streamed)).await.unwrap();
        answer.body.collect(usize::MAX).await.unwrap();
        let balance = book.balance(ACCOUNT).unwrap();
        assert!(balance.reserved.is_zero());
        (ledger.rows().remove(0), balance.posted)
    }
}

fn price(table: &Value) -> Price {
    let above = &table["above"];
    Price {
        rates: rates(table),
        above: above["tokens"]
            .as_u64()
            .map(|tokens| (tokens, rates(above))),
        per_request: Money::ZERO,
    }
}

fn rates(table: &Value) -> Rates {
    let rate =
        |bucket: &str| -> Option<Money> { serde_json::from_value(table[bucket].clone()).unwrap() };
    Rates {
        input: rate("input").unwrap(),
        output: rate("output").unwrap(),
        cache_read: rate("cache_read"),
        cache_write_5m: rate("cache_write_5m"),
        cache_write_1h: rate("cache_write_1h"),
        reasoning: rate("reasoning"),
    }
}

#[tokio::test]
async fn r2_usage_in_the_words_of_providers_costs_what_was_worked_out_by_hand() {
    let cases = Case::all();
    let mut families = BTreeMap::<&str, usize>::new();
    for case in &cases {
        let name = &case.name;
        *families.entry(name.split('_').next().unwrap()).or_default() += 1;
        assert!(!case.by_hand.is_empty(), "{name} does not say how");
        for streamed in [false, true] {
            if case.form == "stream" && !streamed || case.operation == "embeddings" && streamed {
                continue;
            }
            let (row, posted) = case.play(streamed).await;
            assert_eq!(row.usage, Some(case.tokens), "{name}");
            assert_eq!(
                row.cost.nanos(),
                case.cost_nanos,
                "{name}: {:?}",
                case.by_hand
            );
            assert_eq!(row.source.as_str(), case.source, "{name}");
            assert_eq!(posted, row.cost, "{name}: budget and ledger");
            assert!(!row.clamped, "{name}");
            assert_eq!(row.price_version.as_deref(), Some(&*case.price_list));
        }
    }
    assert!(cases.len() >= 40, "{families:?}");
    for family in [
        "openai",
        "anthropic",
        "gemini",
        "openrouter",
        "deepseek",
        "groq",
        "xai",
        "mistral",
    ] {
        assert!(families.contains_key(family), "{family}");
    }
}
