//! The HTTP client.

mod addresses;
mod transport;

pub use transport::{ReqwestTransport, TransportBody, TransportConfig};

#[cfg(test)]
mod tests;
