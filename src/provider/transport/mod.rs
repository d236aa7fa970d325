//! HTTP clients: pooled, HTTP/1.1 and 2, TLS by rustls. They follow no redirect and, unless allowed, connect to no private address.
//!
//! [`HyperTransport`] is the short way to a provider. [`ReqwestTransport`] is for networks where the way leads through a proxy that
//! the environment names; it does more per request. Both are tower services over [`http`] types, so anybody's client can take
//! their place.

mod addresses;
mod body;
mod config;
#[cfg(feature = "hyper")]
mod direct;
mod error;
#[cfg(feature = "reqwest")]
mod proxied;

pub use body::TransportBody;
pub use config::TransportConfig;
#[cfg(feature = "hyper")]
pub use direct::{AnswerBody, HyperTransport};
#[cfg(feature = "reqwest")]
pub use proxied::ReqwestTransport;

#[cfg(test)]
#[cfg(feature = "hyper")]
mod tests;
