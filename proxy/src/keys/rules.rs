use std::{sync::Arc, time::SystemTime};

use rungs::{
    Error,
    catalog::Tier,
    store::{KeyRecord, OnStoreDown, Role, Zone},
};

use super::{Family, Rights, Scopes, family::DEEPEST};
use crate::config::{Config, did_you_mean};

/// What a key must keep to, whoever makes or changes it.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Where budgets have their midnight that do not say.
    pub(super) zone: Zone,
    /// How high a key reaches that has no ceiling of its own.
    pub(super) max_tier: Tier,
    /// The projects there are.
    pub(super) projects: Vec<Arc<str>>,
}

/// The longest name, in bytes.
const LONGEST: usize = 128;

impl Rules {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            zone: config.budget.tz.clone(),
            max_tier: config.routing.max_tier,
            projects: config.projects.iter().map(|p| p.name.clone()).collect(),
        }
    }

    /// Checks a key, and that it is no wider than the family it belongs to.
    pub(crate) fn check(
        &self,
        key: &KeyRecord,
        above: Option<&Family>,
        now: SystemTime,
    ) -> Result<(), Error> {
        named("name", &key.name)?;
        named("tenant", &key.tenant)?;
        if key.tenant.contains('/') {
            return Err(Error::invalid("a tenant's name has no `/` in it").param("tenant"));
        }
        if let Some(project) = &key.project
            && !self.projects.iter().any(|known| **known == **project)
        {
            let hint = did_you_mean(project, self.projects.iter().map(|known| &**known));
            let what = format!(
                "there is no project `{project}`{hint}; projects are the [[project]]s of the configuration"
            );
            return Err(Error::invalid(what).param("project"));
        }
        for (n, budget) in key.budgets.iter().enumerate() {
            if key.budgets[..n].iter().any(|b| b.window == budget.window) {
                let what = format!("there are two budgets per {}", budget.window);
                return Err(Error::invalid(what).param("budgets"));
            }
        }
        if key
            .warn_at
            .is_some_and(|percent| !(1..=100).contains(&percent))
        {
            return Err(Error::invalid("`warn_at` is a percentage from 1 to 100").param("warn_at"));
        }
        if key.expires.is_some_and(|at| at <= now) {
            return Err(Error::invalid("`expires` is in the past").param("expires"));
        }
        if key.role == Role::Admin && (key.parent.is_some() || !key.budgets.is_empty()) {
            return Err(Error::invalid(
                "an admin key calls no models: it has no parent and no budgets",
            ));
        }
        match above {
            Some(above) => self.check_below(key, above, now),
            None => Ok(()),
        }
    }

    fn check_below(&self, key: &KeyRecord, above: &Family, now: SystemTime) -> Result<(), Error> {
        let parent = above.key();
        let refuse = |param: &str, what: String| Err(Error::invalid(what).param(param));
        if parent.role == Role::Admin || above.has_ended(now) {
            let id = &parent.id;
            return refuse(
                "parent",
                format!("`{id}` is no key in force that could have keys below it"),
            );
        }
        if above.depth() >= DEEPEST {
            return refuse(
                "parent",
                format!("at most {DEEPEST} keys stand above each other"),
            );
        }
        if key.tenant != parent.tenant {
            return refuse(
                "tenant",
                format!("a key has the tenant of its parent, `{}`", parent.tenant),
            );
        }
        let rights = above.rights(self.max_tier);
        if let Some(allowed) = &rights.models
            && let Some(model) = key.models.iter().find(|model| !allowed.contains(model))
        {
            return refuse("models", format!("its parent may not ask for `{model}`"));
        }
        let ceiling = rights.max_tier.unwrap_or(self.max_tier);
        if key.max_tier.is_some_and(|tier| tier > ceiling) {
            return refuse(
                "max_tier",
                format!("its parent reaches no higher than {ceiling}"),
            );
        }
        let routes = Scopes::named(&key.routes);
        if !key.routes.is_empty() && routes.and(rights.routes) != routes {
            return refuse(
                "routes",
                "its parent may not call all of these routes".to_owned(),
            );
        }
        if let Some((own, wider)) = key.budgets.iter().find_map(|own| {
            let wider = parent.budgets.iter().find(|b| b.window == own.window)?;
            (own.limit > wider.limit).then_some((own, wider))
        }) {
            return refuse(
                "budgets",
                format!("${own} is more than its parent's ${wider}"),
            );
        }
        if key.on_store_down == OnStoreDown::Open && parent.on_store_down == OnStoreDown::Closed {
            return refuse(
                "on_store_down",
                "its parent pays as well, and is closed while nobody can tell what was spent"
                    .to_owned(),
            );
        }
        check_limits(key, &rights)
    }
}

fn check_limits(key: &KeyRecord, above: &Rights) -> Result<(), Error> {
    for (param, own, most) in [("rpm", key.rpm, above.rpm), ("tpm", key.tpm, above.tpm)] {
        if let (Some(own), Some(most)) = (own, most)
            && own > most
        {
            let what = format!("{own} is more than its parent's {most}");
            return Err(Error::invalid(what).param(param));
        }
    }
    match (key.expires, above.ends) {
        (Some(own), Some(end)) if own > end => {
            Err(Error::invalid("it would outlive its parent").param("expires"))
        }
        _ => Ok(()),
    }
}

fn named(what: &'static str, name: &str) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::invalid(format!("`{what}` {why}")).param(what));
    if name.trim().is_empty() {
        wrong("is empty")
    } else if name.len() > LONGEST {
        wrong("is longer than 128 bytes")
    } else if name.chars().any(char::is_control) {
        wrong("has control characters in it")
    } else {
        Ok(())
    }
}
