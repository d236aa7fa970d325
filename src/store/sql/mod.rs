//! What the SQL stores have in common: the steps to a schema, and how records stand in columns.

pub(super) mod columns;
pub(super) mod conversations;
pub(super) mod entries;
pub(super) mod keys;
pub(super) mod schema;
pub(super) mod todos;
