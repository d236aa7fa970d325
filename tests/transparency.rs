//! What nobody has a reason to change is not changed: through the HTTP surface, every layer, the route and the provider, requests
//! and answers keep their unknown members, their order, their white space and the spelling of their numbers.
#![cfg(feature = "testing")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use rungs::{
    Error, ServiceBuilderExt,
    catalog::{Capability, Deployment, Price, Targets},
    http::OpenAi,
    json::RawObject,
    layers::{
        breaker::BreakerState, cache::CacheScope, cross_check::When, escalate::StandardJudge,
    },
    model::{BoxModelService, Call, CallContext, Operation, Quality, RouteHint},
    provider::{Endpoint, HttpProvider, openai},
    route::Route,
    store::memory::{MemoryBudgets, MemoryCache, MemoryLedger, MemoryRates},
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// A gateway over a provider that always answers the same.
struct Gateway {
    ring: BoxModelService,
    targets: Targets,
    /// The bodies that have reached the provider.
    sent: Arc<Mutex<Vec<Bytes>>>,
}

impl Gateway {
    fn new(content_type: &'static str, answer: &'static str) -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sent);
        let transport = service_fn(move |request: Request<Bytes>| {
            seen.lock()
                .expect("no test panics here")
                .push(request.into_body());
            let response = Response::builder().header(CONTENT_TYPE, content_type);
            async move { Ok::<_, Infallible>(response.body(Full::from(answer)).expect("a response")) }
        });
        let endpoint = Arc::new(Endpoint::new("p", "https://p.example/v1").expect("a URL"));
        let chat = Deployment::new("p", "m-1").price(Price::FREE);
        let embeddings = Deployment::new("p", "e-1").price(Price::FREE);
        let embeddings = embeddings.capabilities([Capability::Embeddings]);
        let deployments = [chat, embeddings].map(Arc::new);
        let rings = deployments.each_ref().map(|deployment| {
            let leaf = HttpProvider::new(
                transport.clone(),
                deployment.clone(),
                endpoint.clone(),
                Arc::new(openai::OpenAi::new()),
            );
            let breaker = BreakerState::new(deployment.id.clone(), Default::default());
            let ring = ServiceBuilder::new()
                .breaker(breaker)
                .retries(Default::default())
                .budget(deployment.clone(), Arc::new(MemoryBudgets::new()))
                .cost(deployment.clone(), Arc::new(MemoryLedger::new(10)))
                .timeouts(deployment.clone(), Default::default())
                .ring(leaf);
            (deployment.clone(), ring)
        });
        let ring = ServiceBuilder::new()
            .trace()
            .in_flight(10)
            .rate(Arc::new(MemoryRates::new()))
            .cache(Arc::new(MemoryCache::new(1 << 20)), CacheScope::Tenant)
            .cross_check(When::Quality(Quality::High))
            .escalate(StandardJudge::new())
            .ring(Route::new(rings));
        Self {
            ring,
            targets: Targets::new(deployments),
            sent,
        }
    }

    /// The answer to `body`, and what the provider was asked, if it was.
    async fn ask(&self, path: &str, body: impl Into<Bytes>) -> (Bytes, Option<Bytes>) {
        let route = RouteHint::to(self.targets.clone());
        let surface = OpenAi::new(
            self.ring.clone(),
            move |_: &_, _: Operation, _: &RawObject| {
                Ok::<_, Error>((CallContext::new(Call::new("me")), route.clone()))
            },
        );
        let request = Request::post(path)
            .body(Full::new(body.into()))
            .expect("a request");
        let Ok(response) = surface.oneshot(request).await;
        let body = response.into_body().collect().await;
        let body = body.expect("a body fails in events").to_bytes();
        (body, self.sent.lock().expect("no test panics here").pop())
    }
}

const CHAT: &str = "/v1/chat/completions";
const WHOLE: &str = "{ \"id\":\"x\",\"x-unknown\" : {\"b\":1.50,\"a\":[ ]},\"model\":\"m-1-2026\",\n \"choices\":[{\"index\":0,\
    \"message\":{\"role\":\"assistant\",\"content\":\"caf\\u00e9 \\/ 42\",\"extra\":null},\"finish_reason\":\"stop\"}],\
    \"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1e0} }";
const CHUNKS: [&str; 3] = [
    r#"{ "id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"caf\u00e9 "}}], "x-unknown":1.0E+2}"#,
    r#"{"choices":[{"delta":{"content":"\/ 42" },"index":0,"z":[1,  2]}],"id":"x"}"#,
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}] }"#,
];

#[tokio::test]
async fn a_chat_request_arrives_as_it_was_sent() {
    let gateway = Gateway::new("application/json", WHOLE);
    for (sent, arrived) in [
        // The provider's own name: not a byte differs.
        (
            r#"{ "model" : "m-1", "messages":[{"content":"q","role":"user"}],"top_p":1.10 }"#,
            None,
        ),
        // Another name is replaced where it stands.
        (
            r#"{"zeta":[1.0e2,{ "deep":null }], "model" :"auto" ,"messages":[{"role":"user","content":"caf\u00e9","extra":true}],"seed":-0}"#,
            Some(
                r#"{"zeta":[1.0e2,{ "deep":null }], "model" :"m-1" ,"messages":[{"role":"user","content":"caf\u00e9","extra":true}],"seed":-0}"#,
            ),
        ),
        // A stream asks for its usage; nothing else is added.
        (
            r#"{"model":"m-1","stream_options":{ "x":1 },"messages":[{"role":"user","content":"q"}],"stream":true}"#,
            Some(
                r#"{"model":"m-1","stream_options":{ "x":1,"include_usage":true },"messages":[{"role":"user","content":"q"}],"stream":true}"#,
            ),
        ),
    ] {
        let (_, seen) = gateway.ask(CHAT, sent).await;
        assert_eq!(seen.unwrap(), arrived.unwrap_or(sent));
    }
}

#[tokio::test]
async fn an_embeddings_request_arrives_as_it_was_sent() {
    let answer = r#"{"data":[{"embedding":[ 0.10,-1e-3]}],"usage":{"prompt_tokens":2}, "y":{}}"#;
    let gateway = Gateway::new("application/json", answer);
    let sent = r#"{ "input":["a" , "b"],"model":"e-1","x-unknown":{"b":1,"a":2} }"#;
    let (got, seen) = gateway.ask("/v1/embeddings", sent).await;
    assert_eq!((got, seen.unwrap()), (answer.into(), sent.into()));
}

#[tokio::test]
async fn a_whole_answer_arrives_as_it_was_given_also_from_the_cache() {
    let gateway = Gateway::new("application/json", WHOLE);
    let question = r#"{"model":"auto","messages":[{"role":"user","content":"q"}]}"#;
    for asked in [true, false] {
        let (got, seen) = gateway.ask(CHAT, question).await;
        assert_eq!(got, WHOLE);
        assert_eq!(seen.is_some(), asked);
    }
}

#[tokio::test]
async fn each_chunk_of_a_stream_arrives_as_it_was_given_also_from_the_cache() {
    let events: String = CHUNKS
        .iter()
        .map(|chunk| format!("data:{chunk}\r\n\r\n"))
        .collect();
    let events = format!(": hello\n\n{events}data: [DONE]\n\n");
    let gateway = Gateway::new("text/event-stream", events.leak());
    let question = r#"{"model":"auto","stream":true,"messages":[{"role":"user","content":"q"}]}"#;
    for asked in [true, false] {
        let (got, seen) = gateway.ask(CHAT, question).await;
        let got = std::str::from_utf8(&got).unwrap();
        let payloads: Vec<_> = got
            .lines()
            .filter_map(|l| l.strip_prefix("data: "))
            .collect();
        assert_eq!(payloads, [&CHUNKS[..], &["[DONE]"]].concat());
        assert_eq!(seen.is_some(), asked);
    }
}

const SPELLINGS: [&str; 11] = [
    "null",
    "true",
    "-0",
    "1.0",
    "1e5",
    "1.50E+02",
    "0.1e-7",
    "\"\"",
    r#""caf\u00e9""#,
    r#""\/é\n""#,
    "12345678901234567890",
];

/// Any JSON value, spelled in any way.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(&SPELLINGS[..]).prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec((space(), inner.clone(), space()), 0..3);
        let list = list.prop_map(|all| {
            all.into_iter()
                .map(|(a, v, b)| a + &v + &b)
                .collect::<Vec<_>>()
        });
        prop_oneof![
            list.prop_map(|all| format!("[{}]", all.join(","))),
            (space(), "[a-z]{1,3}", space(), inner)
                .prop_map(|(a, name, b, v)| format!("{{{a}\"{name}\"{b}:{b}{v}{a}}}")),
        ]
    })
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

/// Members that no dialect knows, and where among them the known ones stand.
fn members() -> impl Strategy<Value = (Vec<String>, usize)> {
    let member = (space(), space(), value(), space());
    (prop::collection::vec(member, 0..6), 0..6usize).prop_map(|(members, at)| {
        let spelled = members.into_iter().enumerate();
        let spelled = spelled.map(|(i, (a, b, v, c))| format!("{a}\"x-{i}\"{b}:{b}{v}{c}"));
        (spelled.collect(), at)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_request_arrives_as_it_was_sent((mut members, at) in members()) {
        members.insert(at.min(members.len()), r#" "model" :"auto", "messages":[{"role":"user","content":"q"}] "#.to_owned());
        let sent = format!("{{{}}}", members.join(","));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let gateway = Gateway::new("application/json", WHOLE);
        let (got, seen) = runtime.block_on(gateway.ask(CHAT, sent.clone()));
        prop_assert_eq!(got, WHOLE);
        prop_assert_eq!(seen.unwrap(), sent.replacen("\"auto\"", "\"m-1\"", 1));
    }
}
