//! Real servers for tests, each private to its handle: started from the installed program on a free port of the loopback address,
//! with its data in a folder of its own, and gone with the handle. Nothing that runs already is ever touched.
//!
//! `cargo xtask test` installs the programs, or says what is missing.

mod process;
mod redis;

pub use redis::{RedisData, RedisServer};
