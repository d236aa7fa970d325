//! One span, one log line and one set of metrics per call.
//!
//! # Example
//! ```
//! use rungs::{layers::trace::TraceLayer, testing::{Reply, Scripted, ask}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let stack = ServiceBuilder::new()
//!     .layer(TraceLayer::new())
//!     .service(Scripted::new(Reply::text("42")));
//! stack.oneshot(ask("6 x 7?")).await?.body.collect(1000).await?;
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! At the top of the call ring: it sees every call once, also those that a cache answers or a limit refuses.
//!
//! # Streams
//! The line is written when the body ends, with the time to the first frame and the whole time.
//!
//! # Errors
//! Passes them on. Their cause, which clients never see, is in the line.
//!
//! # Cost of the layer
//! Two metrics per call, three for a stream; the line is formatted only if the level `info` is on. Prompts and answers are never part of it.
//! A call that costs more than [`TraceLayer::alert`] has one line and one metric more.

mod alert;
mod layer;
mod line;
mod meters;
mod service;

pub use alert::CostAlert;
pub use layer::TraceLayer;
pub use service::{Trace, TraceFuture};

#[cfg(test)]
mod tests;
