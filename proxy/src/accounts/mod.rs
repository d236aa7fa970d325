//! The accounts that pay for calls: `global`, `key:<id>`, `user:<tenant>/<user>` and `project:<name>`. A call is paid by all of its
//! accounts at once.

mod book;
mod ledgered;
mod terms;
mod users;
mod watch;

use std::{iter, sync::Arc};

use crate::config::Config;

pub(crate) use book::Book;
pub(crate) use ledgered::{Accounts, Opening};
pub(crate) use terms::Terms;
pub(crate) use users::{Users, UsersLayer};
pub(crate) use watch::{WarnRules, post_alert};

/// The account that pays for everything.
pub(crate) const GLOBAL: &str = "global";

/// The accounts that a configuration names beside those of its keys.
pub(crate) fn of_config(config: &Config) -> impl Iterator<Item = (Arc<str>, Terms)> {
    let global = (GLOBAL.into(), config.budget.global().into());
    let projects = config.projects.iter();
    let projects = projects.map(|p| (of_project(&p.name), p.terms.clone()));
    iter::once(global).chain(projects)
}

/// The account of a key.
pub(crate) fn of_key(id: &str) -> Arc<str> {
    format!("key:{id}").into()
}

/// The account of an end user. Tenants have no `/` in their names, so no two users share one.
pub(crate) fn of_user(tenant: &str, user: &str) -> Arc<str> {
    format!("user:{tenant}/{user}").into()
}

/// The account of a project.
pub(crate) fn of_project(name: &str) -> Arc<str> {
    format!("project:{name}").into()
}

#[cfg(test)]
mod tests;
