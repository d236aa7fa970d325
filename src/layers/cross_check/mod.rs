//! Lets other deployments review an answer before it is given, and an arbiter decide where they differ.
//!
//! # Example
//!
//! ```
//! use rungs::catalog::{Deployment, Targets, Tier};
//! use rungs::layers::cross_check::{CrossCheckLayer, When};
//! use rungs::model::{Agreement, ModelRequest, RouteHint};
//! use rungs::testing::{Reply, Scripted, ask};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let primary = Scripted::at(Deployment::new("p", "first"), [Reply::text("42")]);
//! let verdict = r#"{"agree": true, "confidence": 90, "issues": []}"#;
//! let reviewer = Scripted::at(Deployment::new("p", "second"), [Reply::text(verdict)]);
//! let targets = Targets::new([primary.deployment(), reviewer.deployment()]);
//!
//! // The smallest router there is; `rungs::route` has a real one.
//! let all = [primary.clone(), reviewer.clone()];
//! let route = service_fn(move |request: ModelRequest| {
//!     let free = all.iter().find(|s| !request.route.exclude.contains(&s.deployment().id));
//!     free.expect("somebody is left").clone().oneshot(request)
//! });
//! let service = ServiceBuilder::new()
//!     .layer(CrossCheckLayer::new(When::Always))
//!     .service(route);
//!
//! let answer = service.oneshot(ask("6 x 7?").route(RouteHint::to(targets))).await?;
//! let verdict = answer.meta.verdict.unwrap();
//! assert_eq!((verdict.agreement, verdict.confidence), (Agreement::Agree, 90));
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//!
//! Above escalation, so that each voice may climb, and below the cache, so that a checked answer is checked once. Reviewers and
//! arbiter are asked through the inner service, never through this layer, and their requests are marked for any other
//! ([`CheckUse::Never`](crate::model::CheckUse)): checks do not nest. Every one of them takes an attempt
//! of the call and is charged by the layers below; [`Verdict::cost`](crate::model::Verdict::cost) is the sum.
//!
//! Reviewers are other deployments of the primary's tier, then of tiers above, then below. They see the question's texts and the
//! answer as quoted data, and reply with a small JSON verdict, in so many [tokens](CrossCheckConfig::review_tokens) at most. If one objects, an arbiter, a tier up
//! if one is allowed, gets the original request with the answer and the objections, and writes the final answer; if that is cut off, a refusal or otherwise
//! unfit ([`CrossCheckLayer::judge`]) while the primary's is not, the primary's stays.
//!
//! # Streams
//!
//! A stream that is checked is collected first and then replayed in stream form. Calls that [`When`] does not name pass untouched.
//!
//! # Errors
//!
//! The primary's own, and [`ErrorKind::Upstream`](crate::ErrorKind::Upstream) for a stream larger than the limit. Whatever fails
//! in checking, the primary's answer is returned, with a note in [`meta.notes`](crate::model::ResponseMeta::notes) and
//! [`Agreement::Unchecked`](crate::model::Agreement::Unchecked) where no verdict came about. Tool calls, several choices, and what a reader of texts
//! does not see are not reviewed: questions with pictures, sound or files, and answers that speak or draw.
//!
//! # Cost of the layer
//!
//! Nothing but a boxed future for calls it does not check; else one more call a reviewer, at the same time, and one for an arbiter.

mod check;
mod config;
mod flaw;
mod layer;
mod prompt;
mod review;
mod service;
mod voices;

pub use config::{CrossCheckConfig, When};
pub use layer::CrossCheckLayer;
pub use service::CrossCheck;

#[cfg(test)]
mod tests;
