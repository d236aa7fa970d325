//! What attempts are charged: R2, and the budget's side of it.
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code too")]

mod charge;
mod media;
mod members;
mod price;
mod short;
mod usage;
