//! Asks again one tier up when an answer will not do: a call climbs only on evidence.
//!
//! # Example
//!
//! ```
//! use rungs::catalog::{Deployment, Targets, Tier};
//! use rungs::layers::escalate::{EscalateLayer, StandardJudge};
//! use rungs::model::{ModelRequest, RouteHint};
//! use rungs::testing::{Reply, Scripted, ask};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let cheap = Scripted::at(Deployment::new("p", "small"), [Reply::text("I'm sorry, but I can't do that.")]);
//! let better = Scripted::at(Deployment::new("p", "large").tier(Tier::L1), [Reply::text("42")]);
//! let targets = Targets::new([cheap.deployment(), better.deployment()]);
//!
//! // The smallest router there is; `rungs::route` has a real one.
//! let (l0, l1) = (cheap.clone(), better.clone());
//! let route = service_fn(move |request: ModelRequest| {
//!     if request.route.min_tier > Tier::L0 { l1.clone() } else { l0.clone() }.oneshot(request)
//! });
//! let service = ServiceBuilder::new()
//!     .layer(EscalateLayer::new(StandardJudge::new()).max_climbs(1))
//!     .service(route);
//!
//! let answer = service.oneshot(ask("6 x 7?").route(RouteHint::to(targets))).await?;
//! assert_eq!(answer.meta.deployment.unwrap().tier, Tier::L1);
//! assert_eq!((cheap.calls(), better.calls()), (1, 1));
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//!
//! Directly above the service that chooses a deployment, because a climb is the same request with a higher
//! [`min_tier`](crate::model::RouteHint::min_tier), told to start there. Below the cache, so that one key has one answer, and below
//! cross-checking, so that each voice may climb. Retries, budgets and ledgers go below: every attempt is charged, discarded drafts too.
//!
//! The next tier gets the request with a [`Handoff`] as one more system message, in the place of the summary of the conversation,
//! if it has one; if there is no draft to speak of, it gets the
//! request untouched. A name that stands for a single tier never climbs; neither does an embedding.
//!
//! # Streams
//!
//! [`OnStream`] decides. `Probe` (the default) holds a bounded beginning, looks at it with [`Judge::glimpse`], then commits:
//! nothing that was sent is taken back. `Buffer` holds the whole answer, `Pass` nothing. A stream from the highest tier that
//! may still be asked always passes, its first byte included. A failure before the first passed frame can be climbed over, a
//! later one reaches the client.
//!
//! # Errors
//!
//! Failures another deployment may mend climb like flawed answers. When a climb is refused (budget, rate limit, overload, no
//! attempts or time left) the best answer so far is returned with a note in
//! [`meta.notes`](crate::model::ResponseMeta::notes); without any answer, the first failure. The layer has no errors of its own.
//!
//! # Cost of the layer
//!
//! One boxed future a call. An answer that could climb is parsed once; one from the highest tier is not looked at.

mod ascent;
mod assess;
mod config;
mod handoff;
mod judge;
mod layer;
mod partial;
mod schema;
mod service;
mod standard;
mod window;

pub use config::{EscalateConfig, OnStream};
pub use handoff::{Handoff, PreviousAttempt};
pub use judge::{And, Evidence, Judge, Judgement};
pub use layer::EscalateLayer;
pub use service::Escalate;
pub use standard::StandardJudge;

#[cfg(test)]
mod tests;
