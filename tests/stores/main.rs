//! Every store keeps its contract, and what is particular to each.
#![cfg(feature = "testing")]

#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod audit;
mod budgets;
mod conversations;
#[cfg(feature = "sqlite")]
mod dir;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod idle;
#[cfg(all(feature = "journal", feature = "sqlite"))]
mod journal;
mod memory;
#[cfg(all(feature = "journal", feature = "postgres", feature = "sqlite"))]
mod names;
mod postgres;
#[cfg(all(feature = "journal", feature = "postgres", feature = "sqlite"))]
mod pruning;
#[cfg(feature = "redis")]
mod redis;
mod servers;
#[cfg(all(feature = "journal", feature = "sqlite"))]
mod spool;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod upgrades;
mod windows;
