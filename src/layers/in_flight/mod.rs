//! Bounds how many calls are under way at once, each until its answer has ended; sheds what is above.
//!
//! # Example
//!
//! ```
//! use rungs::{ErrorKind, layers::in_flight::{InFlightLayer, Permits}, testing::{Reply, Scripted, ask, ask_stream}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let permits = Permits::new(1);
//! let service = ServiceBuilder::new()
//!     .layer(InFlightLayer::shared(permits.clone()))
//!     .service(Scripted::new(Reply::text("one at a time")));
//! let answer = service.clone().oneshot(ask_stream("first")).await?;
//! assert_eq!(permits.in_use(), 1); // the stream has not been read yet
//! assert_eq!(service.clone().oneshot(ask("second")).await.unwrap_err().kind(), ErrorKind::Overloaded);
//! drop(answer);
//! assert_eq!(permits.in_use(), 0);
//! # Ok::<(), rungs::Error>(()) }).unwrap();
//! ```
//!
//! # Where it goes in a stack
//! In the attempt ring above the money, so that a call which is shed leaves no reservation and no ledger row; and at the top of the
//! call ring, as the bound of the whole process. Nothing is reserved by `poll_ready`.
//!
//! # Streams
//! The permit lives as long as the body: until its end, its failure, or until the reader drops it. A limit that is free again at the
//! response head would let any number of streams pile up.
//!
//! # Errors
//! [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded) at once when all permits are taken. It never queues: another deployment may have room.
//!
//! # Cost of the layer
//! Two atomic operations per call and one small allocation for the tap.

mod future;
mod layer;
mod permits;
mod service;
#[cfg(test)]
mod tests;

pub use future::InFlightFuture;
pub use layer::InFlightLayer;
pub use permits::Permits;
pub use service::InFlight;
