//! `/admin/v1`: the routes for those who look after keys.

pub(super) mod budgets;
pub(super) mod keys;
