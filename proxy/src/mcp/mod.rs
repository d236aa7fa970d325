//! The MCP server, over rmcp: the gateway's tools, resources and prompts for MCP clients.
//!
//! - [`server`]: what is answered, whatever it came over. [`connection`], [`call`], [`consent`], [`changes`], [`resources`], [`prompts`]: its parts.
//! - [`stdio`]: `rungs mcp`. [`beside`], [`socket_path`], [`bridge`]: how it works next to another process that owns the database.
//! - [`http`]: `/mcp`. [`sessions`]: who owns a session of the older revisions. [`token`]: what opens `/mcp` on an open loopback.
//! - [`upstream`]: other MCP servers, whose tools are mounted.
//! - [`oauth`]: tokens of an authorization server, in place of keys.

pub(crate) mod beside;
mod bridge;
mod call;
mod changes;
mod connection;
mod consent;
#[cfg(feature = "mcp-fixtures")]
mod fixtures;
pub(crate) mod http;
mod lines;
pub(crate) mod oauth;
mod page;
mod progress;
mod prompts;
mod resources;
mod server;
mod sessions;
mod socket_path;
pub(crate) mod stdio;
pub(crate) mod token;
pub(crate) mod upstream;

pub(crate) use connection::Who;
pub(crate) use server::Server;

/// What is served: the server itself, and for the conformance suite what that asks for beside it.
#[cfg(not(feature = "mcp-fixtures"))]
type Served = Server;
#[cfg(feature = "mcp-fixtures")]
type Served = fixtures::Fixtures;

#[cfg(not(feature = "mcp-fixtures"))]
fn served(server: Server) -> Served {
    server
}
#[cfg(feature = "mcp-fixtures")]
fn served(server: Server) -> Served {
    Served::around(server)
}
