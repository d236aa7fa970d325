//! What flows through the rings: requests, answers, frames, usage, and the context of a call.
//!
//! One request type and one answer type serve every operation, because bodies stay raw. Layers that must look inside a chat
//! use the lenient views of [`chat`].

mod body;
mod bound;
mod charge;
pub mod chat;
mod collect;
mod context;
mod frame;
mod limits;
mod request;
mod response;
mod service;
mod tap;
mod usage;

pub use body::ModelBody;
pub use bound::TokenBound;
pub(crate) use bound::{effective_limit, media, output_limit, output_limits};
pub use charge::{Charge, CostSource, Ending, Violation};
pub use collect::Collected;
pub use context::{Call, CallContext, OnExhaust, Quality, Recall, Step};
pub use frame::{End, FinishReason, Frame};
pub use limits::{LimitFacts, RateFacts, RateLimits};
pub use request::{CacheUse, CheckUse, ModelRequest, Operation, RouteHint, Start};
pub use response::{Agreement, CacheStatus, ModelResponse, ResponseMeta, Verdict};
pub use service::{BoxModelService, ModelService};
pub use tap::{Outcome, Tap};
pub use usage::Usage;

#[cfg(test)]
mod tests;
