//! Tower middleware for LLM calls.

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

pub use error::{BoxError, Error, ErrorKind, Retry};
