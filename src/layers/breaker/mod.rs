//! Stops asking a deployment that keeps failing, and lets one call find out whether it is back.
//!
//! # Example
//!
//! ```
//! use rungs::{Error, ErrorKind, catalog::Deployment};
//! use rungs::{layers::breaker::{BreakerConfig, BreakerLayer, BreakerState}, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let down = Scripted::new(Reply::error(Error::new(ErrorKind::Unavailable, "connection refused")));
//! let state = BreakerState::new(down.deployment().id.clone(), BreakerConfig { failures: 2, ..BreakerConfig::default() });
//! let service = ServiceBuilder::new().layer(BreakerLayer::new(state.clone())).service(down.clone());
//! for _ in 0..5 {
//!     service.clone().oneshot(ask("are you there?")).await.unwrap_err();
//! }
//! assert!(state.is_open());
//! assert_eq!(down.calls(), 2); // the other three were not sent
//! # });
//! ```
//!
//! # Where it goes in a stack
//! At the top of the attempt ring: a deployment that is down then costs neither an attempt nor a reservation, and whoever routes goes on
//! to the next one. Above the retry, so that what counts is what remains after retrying.
//!
//! # Streams
//! The outcome that counts is the body's: a stream that is cut short is a failure, one that its reader leaves says nothing.
//!
//! # States
//! *Closed*: calls pass. `failures` in a row, or `percent` of the last `window` outcomes, open it. *Open*: calls are refused until the
//! cool-down is over. *Half open*: one call is let through as a probe. The first frame of its answer closes the breaker, its failure before
//! that opens it for twice as long (and so does the next opening, unless an answer has ended well before), and a probe that says nothing leaves the place to the next call.
//!
//! A failure is what says something about the deployment: no connection, a timeout that was its own, 5xx, a cut stream. An answer that
//! blames the request is a success. A 429 with `Retry-After` opens the breaker for that long, a 401, 402 or 403 for `bad_key`. Errors of the
//! gateway itself, timeouts of calls whose own deadline has passed, answers that would come again and cannot be taken, and a 402 about an
//! output limit that our credit does not reach, say nothing.
//!
//! # Errors
//! [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) with the time to wait, at once, while the breaker is open.
//!
//! # Cost of the layer
//! An uncontended lock before and after each call, held for nanoseconds.

mod config;
mod future;
mod layer;
mod machine;
mod service;
mod state;
mod verdict;

pub use config::BreakerConfig;
pub use future::BreakerFuture;
pub use layer::BreakerLayer;
pub use service::Breaker;
pub use state::BreakerState;

#[cfg(test)]
mod tests;
