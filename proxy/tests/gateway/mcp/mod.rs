//! The MCP server, over both transports.

mod audit;
mod beside;
mod changes;
mod clients;
mod consent;
mod http;
mod logs;
mod oauth;
mod resources;
mod sessions;
mod stdio;
pub(crate) mod talk;
mod tools;
