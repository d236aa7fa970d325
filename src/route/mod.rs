//! Chooses who answers: the fan-out point at the bottom of the call ring.
//!
//! [`Route`] is a service, not a layer. Each deployment brings its own attempt ring; `Route` decides in which order to ask them
//! ([`Decision`]), asks the first, and goes on to the next when the error says that another one may do better. What it decides can
//! be asked without calling anybody: [`Route::decide`].
//!
//! The order for one call:
//! 1. what the model name stands for, within the tiers that the call may use, able to do what the request needs;
//! 2. from the tier where the [`Classifier`] says that it can be carried, or from the lowest where the request says so
//!    ([`Start`](crate::model::Start)), upwards; in a tier by suitability, then priority;
//! 3. then the cheaper tiers below, for calls whose budget does not reach further; such an answer says so in
//!    [`meta.notes`](crate::model::ResponseMeta::notes), and no cache keeps it. Above a deployment that the budget did not reach
//!    nobody is asked;
//! 4. then the configured fallbacks, unless the request excludes them.
//!
//! # Example
//! ```
//! use rungs::{catalog::{Deployment, Targets, Tier}, model::RouteHint, route::Route, testing::{Reply, Scripted, ask}};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let cheap = Scripted::at(Deployment::new("a", "small").tier(Tier::L0), [Reply::text("42")]);
//! let dear = Scripted::at(Deployment::new("b", "large").tier(Tier::L3), [Reply::text("forty-two")]);
//! let targets = Targets::new([dear.deployment(), cheap.deployment()]);
//! let route = Route::new([
//!     (dear.deployment(), tower::util::BoxCloneSyncService::new(dear)),
//!     (cheap.deployment(), tower::util::BoxCloneSyncService::new(cheap.clone())),
//! ]);
//! let answer = route.oneshot(ask("6 x 7?").route(RouteHint::to(targets))).await?;
//! assert_eq!(answer.meta.deployment.map(|d| d.tier), Some(Tier::L0));
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```

mod classify;
mod decide;
mod own_limit;
mod service;

pub use classify::{Class, Classifier, Complexity, Heuristic, Task};
pub use decide::{Candidate, Decision, Skipped};
pub use service::Route;

#[cfg(test)]
mod tests;
