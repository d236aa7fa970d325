//! Every store keeps its contract, and what is particular to each.
#![cfg(feature = "testing")]

mod budgets;
mod memory;
mod postgres;
mod servers;
#[cfg(feature = "sqlite")]
mod sqlite;
mod windows;
