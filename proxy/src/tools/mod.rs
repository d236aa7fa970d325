//! Tools that models and MCP clients may use. One file a tool.
//!
//! A tool says in its [`Spec`] what it does to the world. The [`Toolbox`] lists every tool there is and calls those that the
//! configuration allows; who serves tools (the MCP server, the code agent) goes through it and through nothing else.

mod call;
mod llm;
mod spec;
mod toolbox;

use futures_util::future::BoxFuture;
use rungs::Error;
use serde_json::Value;

pub(crate) use call::{Progress, Said, ToolCall, to_value};
pub(crate) use llm::visible_accounts;
pub(crate) use spec::{Effect, Spec};
pub(crate) use toolbox::Toolbox;

use crate::gateway::Gateway;

/// Something that can be called by name with JSON arguments.
pub(crate) trait Tool: Send + Sync {
    /// What clients are told of it.
    fn spec(&self) -> &Spec;

    /// Does its work. The value is the structured result and fits the spec's `output`. Dropping the future stops the work.
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>>;
}

/// The names of all tools, in the order in which they are listed: what `tools.<name>` in the configuration may name.
pub(crate) const NAMES: [&str; 7] = [
    "chat",
    "route",
    "estimate_cost",
    "explain_route",
    "second_opinion",
    "escalate",
    "remaining_budget",
];

/// Every tool of this gateway.
pub(crate) fn all(gateway: &Gateway) -> Toolbox {
    Toolbox::new(gateway.clone(), llm::all(gateway))
}
