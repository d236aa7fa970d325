//! The real binary on a free port of the loopback address, in front of scripted providers: one file per topic.
//!
//! `rNN_` in a test's name is the requirement that it shows.

mod access;
mod attempts;
mod config;
mod demo;
mod departure;
mod facts;
mod failover;
mod idle;
mod input;
mod keys;
mod prices;
mod shutdown;
mod statuses;
mod streams;
mod support;
mod transparency;
