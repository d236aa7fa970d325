//! testing.
pub mod store_contract;
