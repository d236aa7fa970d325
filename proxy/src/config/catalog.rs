use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rungs::catalog::{Deployment, Targets, Tier};

use super::{
    Config,
    model::{AUTO, Model},
    nearest::nearest,
};

/// What clients can ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    deployments: Vec<Arc<Deployment>>,
    names: Vec<Arc<str>>,
    targets: BTreeMap<Arc<str>, Targets>,
}

impl Catalog {
    /// All models on enabled tiers.
    ///
    /// `auto` stands for every deployment that chats. How far up a call may go is decided for each call, by its key and
    /// `routing.max_tier`: the targets themselves are not cut.
    pub(crate) fn new(config: &Config) -> Self {
        let disabled = &config.routing.disabled_tiers;
        let models: Vec<&Model> = config
            .models
            .iter()
            .filter(|model| !disabled.contains(&model.deployment.tier))
            .collect();

        let mut catalog = Self {
            deployments: models.iter().map(|m| Arc::clone(&m.deployment)).collect(),
            ..Self::default()
        };
        let chat = models.iter().filter(|model| !model.embeds());
        let auto = Targets::new(chat.map(|model| Arc::clone(&model.deployment)));
        if !auto.first().is_empty() {
            catalog.insert(AUTO.into(), auto);
        }
        for model in &models {
            let name = &model.deployment.model;
            if !catalog.targets.contains_key(name) {
                let targets =
                    Targets::new(serving(name, &models)).or_else(fallbacks(name, &models));
                catalog.insert(Arc::clone(name), targets);
            }
        }
        catalog
    }

    fn insert(&mut self, name: Arc<str>, targets: Targets) {
        self.names.push(Arc::clone(&name));
        self.targets.insert(name, targets);
    }

    /// What a name stands for.
    pub(crate) fn resolve(&self, name: &str) -> Option<&Targets> {
        self.targets.get(name)
    }

    /// The name that was probably meant by one that does not exist.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.names.iter().map(|name| &**name))
    }

    /// All names, `auto` first, then as configured.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }

    /// All deployments, as configured.
    pub(crate) fn deployments(&self) -> &[Arc<Deployment>] {
        &self.deployments
    }

    /// The tiers that have a deployment, in order.
    pub(crate) fn tiers(&self) -> BTreeSet<Tier> {
        self.deployments.iter().map(|d| d.tier).collect()
    }
}

fn serving(name: &str, models: &[&Model]) -> Vec<Arc<Deployment>> {
    models
        .iter()
        .filter(|model| &*model.deployment.model == name)
        .map(|model| Arc::clone(&model.deployment))
        .collect()
}

/// The deployments to ask instead: the fallbacks of the name, each followed by its own. Loading has refused circles.
fn fallbacks(name: &str, models: &[&Model]) -> Vec<Arc<Deployment>> {
    let mut seen = BTreeSet::from([name]);
    let mut found = Vec::new();
    follow(name, models, &mut seen, &mut found);
    found
}

fn follow<'a>(
    name: &str,
    models: &[&'a Model],
    seen: &mut BTreeSet<&'a str>,
    found: &mut Vec<Arc<Deployment>>,
) {
    let own = models
        .iter()
        .filter(|model| &*model.deployment.model == name);
    for fallback in own.flat_map(|model| &model.fallback) {
        if seen.insert(fallback) {
            found.extend(serving(fallback, models));
            follow(fallback, models, seen, found);
        }
    }
}
