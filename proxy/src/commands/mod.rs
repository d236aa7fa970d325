//! One file per command.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod code;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod ledger;
pub(crate) mod mcp;
mod rows;
pub(crate) mod serve;
pub(crate) mod upstreams;
mod world;
