//! The code agent, on the small projects of `tests/agent` and scripted models of four strengths.
//!
//! The tests of those projects need Node.js, Python and the Rust compiler that this was built with.

mod answers;
mod fronts;
mod jail;
mod limits;
mod policy;
mod repairs;
mod world;
