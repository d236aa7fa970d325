//! Tower middleware for LLM calls: a call starts on the cheapest model that can carry it and climbs only on evidence.
//!
//! ```text
//!        http::Request                          http::Response
//!              │                                      ▲
//! ┌ edge ring ─▼──────── per connection ──────────────┴─────┐
//! │   who calls, what the call may do           http::OpenAi│
//! │ ┌ call ring ─────── per user call ────────────────────┐ │
//! │ │ ModelRequest                          ModelResponse │ │
//! │ │   trace · commit · in_flight · rate · drain         │ │
//! │ │   idempotency · conversation · cache                │ │
//! │ │   cross_check · escalate                            │ │
//! │ │            Route: whom to ask, in which order       │ │
//! │ │     ┌────────────────┼────────────────┐             │ │
//! │ │ ┌ attempt ring ──── per attempt, one a deployment ┐ │ │
//! │ │ │ breaker · retry · drain · rate · in_flight      │ │ │
//! │ │ │ budget · cost · timeout                         │ │ │
//! │ │ │ HttpProvider: a pure dialect over HTTP          │ │ │
//! │ │ └─────────────────────────────────────────────────┘ │ │
//! │ └─────────────────────────────────────────────────────┘ │
//! └─────────────────────────────────────────────────────────┘
//! ```
//!
//! Each part is generic middleware that works alone in anybody's [`ServiceBuilder`](tower::ServiceBuilder). The order is what
//! makes a gateway of them: above the cache stands what belongs to the question, below it what costs money; above
//! [`Route`](route::Route) a call is seen once, below it every attempt is seen.
//!
//! # Example
//! Two tiers. The cheap one cannot answer, so the call climbs; the same question again costs nothing.
//!
//! ```
//! use std::sync::Arc;
//! use rungs::{
//!     catalog::{Deployment, Price, Targets, Tier},
//!     layers::{
//!         budget::BudgetLayer,
//!         cache::{CacheLayer, CacheScope},
//!         cost::CostLayer,
//!         escalate::{EscalateLayer, StandardJudge},
//!         retry::{RetryConfig, RetryLayer},
//!         trace::TraceLayer,
//!     },
//!     model::{BoxModelService, Call, CallContext, ModelRequest, RouteHint},
//!     route::Route,
//!     store::memory::{MemoryBudgets, MemoryCache, MemoryLedger},
//!     testing::{Reply, Scripted, ask},
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), rungs::Error> {
//! // Two deployments. In a real program these are `provider::HttpProvider`s.
//! let small = Deployment::new("local", "small").price(Price::FREE);
//! let small = Scripted::at(small, [Reply::text("I'm sorry, but I can't help with that.")]);
//! let large = Deployment::new("cloud", "large")
//!     .tier(Tier::L1)
//!     .price(Price::per_million("0.15".parse()?, "0.60".parse()?));
//! let large = Deployment { max_output: Some(1000), ..large };
//! let large = Scripted::at(large, [Reply::text("Air scatters blue light the most.")]);
//!
//! // What all attempts share.
//! let ledger = Arc::new(MemoryLedger::new(100));
//! let budgets = Arc::new(MemoryBudgets::new());
//! budgets.set("key:laptop", vec!["0.01/day".parse()?]);
//!
//! // The attempt ring: what happens to each request that goes out.
//! let attempt_ring = |provider: &Scripted| {
//!     let deployment = provider.deployment();
//!     let ring = ServiceBuilder::new()
//!         .layer(RetryLayer::new(RetryConfig::default()))
//!         .layer(BudgetLayer::new(deployment.clone(), budgets.clone())) // holds the worst case, settles the cost
//!         .layer(CostLayer::new(deployment.clone(), ledger.clone())) // one row per attempt
//!         .service(provider.clone());
//!     (deployment, BoxModelService::new(ring))
//! };
//!
//! // The call ring: what happens to each call of a user.
//! let cache = Arc::new(MemoryCache::new(64 << 20));
//! let rungs = ServiceBuilder::new()
//!     .layer(TraceLayer::new())
//!     .layer(CacheLayer::new(cache, CacheScope::Tenant)) // above the money: a hit needs no budget
//!     .layer(EscalateLayer::new(StandardJudge::new())) // asks again one tier up
//!     .service(Route::new([attempt_ring(&small), attempt_ring(&large)]));
//!
//! let call = || Call { accounts: Arc::new(["key:laptop".into()]), ..Call::new("me") };
//! let question = ModelRequest { ctx: CallContext::new(call()), ..ask("Why is the sky blue?") };
//! let question = question.route(RouteHint::to(Targets::new([small.deployment(), large.deployment()])));
//! let answer = rungs.clone().oneshot(question.clone()).await?;
//! assert_eq!(answer.meta.deployment.map(|d| d.tier), Some(Tier::L1));
//! answer.body.collect(1 << 20).await?;
//!
//! // Both attempts are on record, and the budget has paid what the providers charged.
//! assert_eq!(ledger.rows().len(), 2);
//! assert_eq!(budgets.balances("key:laptop")[0].posted, small.bill() + large.bill());
//!
//! let again = ModelRequest { ctx: CallContext::new(call()), ..question };
//! assert_eq!(rungs.oneshot(again).await?.meta.cache.as_str(), "hit");
//! assert_eq!(large.calls(), 1);
//! # Ok(()) }
//! ```
//!
//! # Features
//! Nothing is on by default: layers, routing, dialects, the HTTP surface and stores in memory are always there.
//!
//! | feature | adds |
//! |---|---|
//! | `hyper` | `provider::HyperTransport`, an HTTP client with rustls that connects to public addresses only |
//! | `journal` | `store::journal`, a ledger that a kill loses nothing of, in front of a store |
//! | `redis` | `store::redis`, rate limits, answers, names of calls and copies of conversations that processes share |
//! | `reqwest` | `provider::ReqwestTransport`, the same through the environment's proxies |
//! | `postgres` | `store::postgres`, a ledger, keys, budgets, conversations, names of calls and an audit that processes share |
//! | `sqlite` | `store::sqlite`, a ledger, keys, conversations, names of calls and an audit in one file |
//! | `testing` | `testing`: scripted providers that keep their own bill, contract suites, private servers |
//! | `full` | all of these |
//! | `failpoints` | places where tests stop the process, or fail it |
//!
//! # Layout
//! - [`model`]: what flows through the rings: request, response, body, frames, taps, the context of a call.
//! - [`layers`]: one folder a layer. [`route`]: the service at the bottom of the call ring. [`swap`]: replaces a running stack.
//! - [`provider`]: the leaf of each stack, and the wire formats it speaks.
//! - [`catalog`]: tiers, deployments, prices, money. [`store`]: traits for state, and stores behind them.
//! - [`http`]: the OpenAI surface as a plain service, to mount in a hyper or axum app.
//! - [`json`], [`sse`]: bytes in, bytes out; no IO.

mod builder;
pub mod catalog;
mod error;
pub mod http;
pub mod json;
pub mod layers;
pub mod model;
pub mod provider;
pub mod route;
pub mod sse;
pub mod store;
pub mod swap;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use builder::ServiceBuilderExt;
pub use error::{BoxError, Error, ErrorKind, Retry};

/// Runs the README's Rust code as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
