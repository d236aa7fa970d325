//! What the SQL stores have in common: the steps to a schema, how records stand in columns, and stores whose statements both
//! databases understand.

pub(super) mod audit;
pub(super) mod columns;
pub(super) mod conversations;
pub(super) mod database;
pub(super) mod entries;
mod idle;
pub(super) mod keys;
pub(super) mod names;
pub(super) mod passing;
pub(super) mod schema;
pub(super) mod todos;
