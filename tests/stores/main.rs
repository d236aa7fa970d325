//! Every store keeps its contract, and what is particular to each.
#![cfg(feature = "testing")]

mod budgets;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod servers;
#[cfg(feature = "sqlite")]
mod sqlite;
