//! The MCP server, over both transports.

mod beside;
mod clients;
mod http;
mod oauth;
mod sessions;
mod stdio;
mod talk;
mod tools;
