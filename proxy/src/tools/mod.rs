//! Tools that models and MCP clients may use. One file a tool.
//!
//! A tool says in its [`Spec`] what it does to the world. The [`Toolbox`] lists every tool there is and calls those that the
//! configuration allows; who serves tools (the MCP server, the code agent) goes through it and through nothing else.

mod call;
mod code_agent;
mod db;
mod fs;
mod git;
mod llm;
mod redis;
mod run;
mod spec;
mod toolbox;
mod workshop;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rungs::Error;
use serde_json::Value;

pub(crate) use call::{Progress, Said, ToolCall, to_value};
pub(crate) use llm::visible_accounts;
pub(crate) use spec::{Effect, Spec};
pub(crate) use toolbox::Toolbox;
pub(crate) use workshop::{Workshop, folders};

use crate::gateway::Gateway;

/// Something that can be called by name with JSON arguments.
pub(crate) trait Tool: Send + Sync {
    /// What clients are told of it.
    fn spec(&self) -> &Spec;

    /// Does its work. The value is the structured result and fits the spec's `output`. Dropping the future stops the work.
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<Value, Error>>;
}

/// What clients are told of the code agent, which has a route of its own too.
pub(crate) fn code_agent() -> &'static Spec {
    code_agent::spec()
}

/// The names of all tools, in the order in which they are listed: what `tools.<name>` in the configuration may name.
pub(crate) const NAMES: [&str; 22] = [
    "chat",
    "route",
    "estimate_cost",
    "explain_route",
    "second_opinion",
    "escalate",
    "remaining_budget",
    "fs_read",
    "fs_write",
    "fs_list",
    "git_status",
    "git_diff",
    "run_vitest",
    "run_playwright",
    "run_tests",
    "redis_get",
    "redis_set",
    "redis_del",
    "db_query",
    "db_insert",
    "db_update",
    "code_agent",
];

/// Every tool of this gateway.
pub(crate) fn all(gateway: &Gateway) -> Toolbox {
    let workshop = &gateway.state().workshop;
    let mut tools = llm::all(gateway);
    tools.extend(fs::all(workshop));
    tools.extend(git::all(workshop));
    tools.extend(run::all(workshop));
    tools.extend(redis::all(workshop));
    tools.extend(db::all(workshop));
    tools.push(Arc::new(code_agent::CodeAgent::new(gateway.clone())));
    Toolbox::new(gateway.clone(), tools)
}

#[cfg(test)]
mod tests;
