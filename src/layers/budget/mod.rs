//! Reserves the worst case of an attempt before it is made, and settles what it really cost.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use rungs::{ErrorKind, catalog::{Deployment, Price}, layers::budget::BudgetLayer, model::{Call, CallContext, ModelRequest}};
//! use rungs::{store::memory::MemoryBudgets, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let price = Price::per_million("1".parse()?, "2".parse()?);
//! let deployment = Deployment { max_output: Some(1000), ..Deployment::new("p", "m").price(price) };
//! let provider = Scripted::at(deployment, [Reply::text("42")]);
//!
//! let book = Arc::new(MemoryBudgets::new());
//! book.set("key:k1", vec!["0.000001/day".parse()?]);
//! let stack = ServiceBuilder::new()
//!     .layer(BudgetLayer::new(provider.deployment(), book))
//!     .service(provider.clone());
//!
//! let call = Call { accounts: Arc::new(["key:k1".into()]), ..Call::new("tenant") };
//! let request = ModelRequest { ctx: CallContext::new(call), ..ask("6 x 7?") };
//! assert_eq!(stack.oneshot(request).await.unwrap_err().kind(), ErrorKind::Budget);
//! assert_eq!(provider.calls(), 0);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! In the attempt ring, below the retry, so that every try pays for itself, and above the cost layer, so that a refusal leaves no
//! row. Routers take a budget error as a reason to try something cheaper.
//!
//! # Streams
//! The reservation is settled when the body ends. What an attempt has cost is unknown when its body is cut, fails, or ends
//! without usage: then the whole reservation is posted, because a cap that guesses low is no cap.
//!
//! # Errors
//! [`ErrorKind::Budget`](crate::ErrorKind::Budget) if an account has no room for the worst case, and if a deployment without a
//! known price, or without one for the `service_tier` of the request, is asked for by an account that has a budget.
//! [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the request asks for more than tokens
//! ([`TokenBound::covers`](crate::model::TokenBound::covers)), or if nothing bounds them ([`TokenBound::of`](crate::model::TokenBound::of)).
//! [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) while a shared book cannot be asked.
//!
//! # Cost of the layer
//! Two short locks of the book per attempt, also where no account has a budget: one that comes while the call is under way is to know
//! of it. Nothing at all for calls without accounts. Where the book has no money at once but may
//! still get some, a call waits a bounded time for it, in a box.

mod hold;
mod layer;
mod service;

pub use layer::{BudgetLayer, Unpriced};
pub use service::{Budget, BudgetFuture};

#[cfg(test)]
mod tests;
