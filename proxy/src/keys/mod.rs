//! Keys and what may be done with them: one set of rules, for the command line and the admin API alike.

mod age;
mod family;
mod registry;
mod rules;
mod scope;
mod terms;
mod view;

pub(crate) use age::{Age, Expiry, rfc3339};
pub(crate) use family::{Family, Rights};
pub(crate) use registry::{Issued, Registry};
pub(crate) use rules::Rules;
pub(crate) use scope::{Scope, Scopes};
pub(crate) use terms::{BudgetTexts, NewKey, Terms};
pub(crate) use view::{Books, BudgetView, KeyView, resets};

#[cfg(test)]
mod tests;
