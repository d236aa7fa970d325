//! The real binary on a free port of the loopback address, in front of scripted providers: one file per topic.
//!
//! `rNN_` in a test's name is the requirement that it shows.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by a panic, also within what tests share, and its tasks end with its runtime"
)]

mod access;
mod admin;
mod agent;
mod attempts;
mod canaries;
mod config;
mod conversation;
mod crash;
mod demo;
mod departure;
mod facts;
mod failover;
mod idempotency;
mod idle;
mod input;
mod keys;
mod keys_command;
mod ledger;
mod limits;
mod mcp;
mod postgres;
mod prices;
mod rates;
mod redis;
mod reload;
mod shutdown;
mod spent;
mod starts;
mod statuses;
mod streams;
mod support;
mod terminal;
mod todos;
mod transparency;
mod upstreams;
mod warnings;
