//! Tools that models and MCP clients may use. One file a tool.
//!
//! A tool says in its [`Spec`] what it does to the world. The [`Toolbox`] lists every tool there is and calls those that the
//! configuration allows; who serves tools (the MCP server, the code agent) goes through it and through nothing else.

mod audit;
mod caller;
mod code_agent;
mod db;
mod fs;
mod git;
mod llm;
mod redis;
mod run;
mod spec;
mod toolbox;
mod trail;
mod typed;
mod workshop;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rungs::Error;
use serde_json::{Map, Value};

pub(crate) use audit::{Audit, Refusal, TARGET as AUDIT};
pub(crate) use caller::{Bill, Caller, Progress, Said};
pub(crate) use code_agent::{WORDS as CODE_AGENT, carry_out};
pub(crate) use llm::visible_accounts;
pub(crate) use run::{end_of, jail};
pub(crate) use spec::{Effect, Origin, Spec, Words};
pub(crate) use toolbox::Toolbox;
pub(crate) use trail::{Consent, Doubt, Trail};
pub(crate) use workshop::Workshop;

use typed::Typed;

use crate::gateway::Gateway;

/// Something that can be called by name with JSON arguments.
pub(crate) trait Tool: Send + Sync {
    /// What clients are told of it.
    fn spec(&self) -> &Spec;

    /// Does its work. The value is the structured result and fits the spec's `output`. Dropping the future stops the work.
    fn call(
        &self,
        caller: Caller,
        arguments: Map<String, Value>,
    ) -> BoxFuture<'_, Result<Value, Error>>;
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
    let tools = [
        llm::all(gateway),
        fs::all(workshop),
        git::all(workshop),
        run::all(workshop),
        redis::all(workshop),
        db::all(workshop),
        vec![code_agent::tool(gateway)],
    ];
    let tools = tools.into_iter().flatten();
    Toolbox::new(
        gateway.clone(),
        tools.map(|tool| Arc::new(tool) as _).collect(),
    )
}

#[cfg(test)]
mod tests;
