//! For tests of stacks and layers: a scripted provider that keeps its own true bill, and contract suites.
//!
//! [`Scripted`] is a leaf service that answers from a script and writes down what a real provider would have charged, so that a
//! ledger can be checked against the truth. [`Upstream`] puts such providers on a real socket. [`servers`] are real ones.

mod idempotency;
mod layer_contract;
pub mod ledger_contract;
mod rates;
mod scripted;
pub mod servers;
pub mod store_contract;
mod upstream;

pub use layer_contract::{Probe, layer_contract};
pub use scripted::{Reply, Scripted};
pub use upstream::Upstream;

use crate::{
    json::RawObject,
    model::{Call, CallContext, ModelRequest},
};

/// A whole chat request of tenant `test` with one user message.
///
/// # Panics
/// Never: the body is well-formed.
#[must_use]
pub fn ask(question: &str) -> ModelRequest {
    chat(&serde_json::json!({
        "model": "auto",
        "messages": [{ "role": "user", "content": question }],
    }))
}

/// The same as a stream.
#[must_use]
pub fn ask_stream(question: &str) -> ModelRequest {
    chat(&serde_json::json!({
        "model": "auto",
        "stream": true,
        "messages": [{ "role": "user", "content": question }],
    }))
}

/// `request` as a call of tenant `test` that may be repeated under this name.
#[must_use]
pub fn named(name: &str, request: ModelRequest) -> ModelRequest {
    let call = Call {
        idempotency: Some(name.into()),
        ..Call::new("test")
    };
    ModelRequest {
        ctx: CallContext::new(call),
        ..request
    }
}

/// A chat request of tenant `test` with this body.
///
/// # Panics
/// If `body` is no JSON object.
#[must_use]
pub fn chat(body: &serde_json::Value) -> ModelRequest {
    let body = RawObject::from_serialize(body).expect("a test's body is a JSON object");
    ModelRequest::chat(body, CallContext::new(Call::new("test")))
}
