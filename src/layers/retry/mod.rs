//! Asks again, where asking the same deployment again can help, within the attempts that the call may have.
//!
//! # Example
//!
//! ```
//! use rungs::{Error, ErrorKind, catalog::Deployment};
//! use rungs::{layers::retry::{RetryConfig, RetryLayer}, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let hiccup = Reply::error(Error::new(ErrorKind::Unavailable, "connection reset"));
//! let provider = Scripted::at(Deployment::new("p", "m"), [hiccup, Reply::text("42")]);
//! let service = ServiceBuilder::new()
//!     .layer(RetryLayer::new(RetryConfig::default()).deployment(provider.deployment()))
//!     .service(provider.clone());
//! assert!(service.oneshot(ask("6 x 7?")).await.is_ok());
//! assert_eq!(provider.calls(), 2);
//! # });
//! ```
//!
//! # Where it goes in a stack
//! Below the breaker and above everything that happens once per attempt: rate, in-flight, budget, cost, timeout. It is the only layer
//! that begins attempts ([`CallContext::begin_attempt`](crate::model::CallContext::begin_attempt)), so each deployment's stack needs one,
//! also with `tries = 1`. An attempt that ended before a provider was asked is given back.
//!
//! # Streams
//! An error of the inner call is always one before the first frame, because providers look at the first frame before they answer.
//! Once a stream has begun nothing is repeated.
//!
//! # Errors
//! Only those of class [`Retry::Same`](crate::Retry::Same) are tried again; the last error is returned as it is. A call without attempts left gets
//! [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded), one whose deadline has passed [`ErrorKind::Timeout`](crate::ErrorKind::Timeout); both are raised without
//! asking anybody.
//!
//! # Cost of the layer
//! One allocation for the future and a shallow copy of the request, whose body is shared. Retries come out of a [`RetryBudget`]
//! that fills with a share of the calls, so that an outage is not met with twice the load.

mod budget;
mod config;
mod layer;
mod policy;
mod service;

pub use budget::RetryBudget;
pub use config::RetryConfig;
pub use layer::RetryLayer;
pub use service::Retry;

#[cfg(test)]
mod tests;
