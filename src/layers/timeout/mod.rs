//! Bounds how long an answer may take: to its first frame, between frames, and in all.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use rungs::{ErrorKind, layers::timeout::{TimeoutConfig, TimeoutLayer}, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let provider = Scripted::new(Reply::hang());
//! let config = TimeoutConfig { total: Duration::from_secs(5), ..TimeoutConfig::default() };
//! let service = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new(provider.deployment(), config))
//!     .service(provider);
//! let error = service.oneshot(ask("anybody there?")).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Timeout);
//! assert_eq!(error.message(), "no answer within 5 s");
//! # });
//! ```
//!
//! # Where it goes in a stack
//! Right above the provider, below everything that must see a timeout as a failed attempt: retry, cost, budget, breaker.
//!
//! A provider's future resolves with the first frame. For a stream that is the first content, bounded by `first_frame`; a whole
//! answer *is* its first frame, so `whole` and `total` bound it. The call's own deadline bounds both.
//!
//! # Streams
//! This layer changes a stream, so it wraps it instead of tapping it. `gap` counts from the moment a reader waits for a frame, so a
//! slow reader is not taken for a silent provider. Only frames count: keep-alives of the provider never reach this layer and reset
//! nothing. An answer that has arrived in one piece is passed on as it is.
//!
//! # Errors
//! [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) of the deployment, naming the limit that ran out and its length. The inner call, or the
//! inner stream, is dropped first. The deployment may have worked for it: the attempt counts, and is charged at its worst case.
//!
//! # Cost of the layer
//! One timer per call and one per stream. The stream's timer is not moved with each frame: it fires at the earliest moment a limit
//! could be broken, and only then looks whether it is.

mod body;
mod config;
mod future;
mod layer;
mod service;
#[cfg(test)]
mod tests;

pub use config::TimeoutConfig;
pub use future::TimeoutFuture;
pub use layer::TimeoutLayer;
pub use service::Timeout;
