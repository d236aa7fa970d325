//! Providers and models from all files together: what refers to what.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    World,
    error::Faults,
    model::{Model, ModelSpec},
    nearest::did_you_mean,
    provider::{Provider, ProviderSpec},
    warnings::Elsewhere,
};

/// Specs with the path they are written at, the user's own first.
pub(super) struct Entries {
    providers: Vec<(String, ProviderSpec)>,
    models: Vec<(String, ModelSpec)>,
    elsewhere: Elsewhere,
}

impl Entries {
    /// The entries of the user's file.
    pub(super) fn new(providers: Vec<ProviderSpec>, models: Vec<ModelSpec>) -> Self {
        Self {
            providers: numbered("provider", providers).collect(),
            models: numbered("model", models).collect(),
            elsewhere: Elsewhere::None,
        }
    }

    pub(super) fn has_providers(&self) -> bool {
        !self.providers.is_empty()
    }

    /// Adds built-in ones; what the user has under the same name stays.
    pub(super) fn add_builtin(
        &mut self,
        file: &str,
        providers: impl IntoIterator<Item = ProviderSpec>,
        models: impl IntoIterator<Item = ModelSpec>,
    ) {
        for (path, spec) in numbered(&format!("built-in {file}: provider"), providers) {
            if self.providers.iter().all(|(_, own)| own.name != spec.name) {
                self.providers.push((path, spec));
            }
        }
        for (path, spec) in numbered(&format!("built-in {file}: model"), models) {
            let id = spec.deployment_id();
            if self.models.iter().all(|(_, own)| own.deployment_id() != id) {
                self.models.push((path, spec));
            }
        }
    }

    /// The names of all models, also of those whose provider is not active.
    fn names(&self) -> BTreeSet<&str> {
        self.models.iter().map(|(_, model)| &*model.id).collect()
    }

    /// Notes what is known of a server's models.
    pub(super) fn note(&mut self, elsewhere: Elsewhere) {
        self.elsewhere = elsewhere;
    }

    /// What is known of models beside these.
    pub(super) fn elsewhere(&self) -> &Elsewhere {
        &self.elsewhere
    }

    /// Says that there is no model of that name, unless nobody knows.
    pub(super) fn check_name(&self, name: &str, path: &str, faults: &mut Faults<'_>) {
        let names = self.names();
        if self.elsewhere != Elsewhere::NotAsked && !names.contains(name) {
            let hint = did_you_mean(name, names);
            faults.at(path, format_args!("there is no model `{name}`{hint}"));
        }
    }

    /// The active providers with their models.
    pub(super) fn resolve(
        &self,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> (Vec<Provider>, Vec<Model>) {
        let mut declared = BTreeSet::new();
        let mut active = BTreeMap::new();
        let mut providers = Vec::new();
        for (path, spec) in &self.providers {
            if !declared.insert(&*spec.name) {
                faults.at(
                    &format!("{path}.name"),
                    format_args!("there are two providers `{}`", spec.name),
                );
            } else if spec.is_active(world) {
                active.insert(&*spec.name, spec.terms());
                providers.extend(spec.resolve(path, world, faults));
            }
        }
        let mut deployments = BTreeSet::new();
        let mut models = Vec::new();
        for (path, spec) in &self.models {
            if !declared.contains(&*spec.provider) {
                let hint = did_you_mean(&spec.provider, declared.iter().copied());
                faults.at(
                    &format!("{path}.provider"),
                    format_args!("there is no provider `{}`{hint}", spec.provider),
                );
            }
            if !deployments.insert(spec.deployment_id()) {
                faults.at(
                    &format!("{path}.id"),
                    format_args!("`{}` has two models `{}`", spec.provider, spec.id),
                );
            }
            let terms = active.get(&*spec.provider).cloned();
            let is_active = terms.is_some();
            let model = spec.resolve(path, terms.unwrap_or_default(), faults);
            if is_active {
                models.push(model);
            }
        }
        self.check_fallbacks(faults);
        (providers, models)
    }

    /// Each fallback exists, and following them comes to an end.
    fn check_fallbacks(&self, faults: &mut Faults<'_>) {
        let mut graph: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (path, spec) in &self.models {
            for fallback in &spec.fallback {
                self.check_name(fallback, &format!("{path}.fallback"), faults);
                graph.entry(&spec.id).or_default().push(fallback);
            }
        }
        let mut done = BTreeSet::new();
        for (path, spec) in &self.models {
            if let Some(ring) = ring(&spec.id, &graph, &mut Vec::new(), &mut done) {
                faults.at(
                    &format!("{path}.fallback"),
                    format_args!("goes round in a circle: {ring}"),
                );
            }
        }
    }
}

fn numbered<T>(name: &str, all: impl IntoIterator<Item = T>) -> impl Iterator<Item = (String, T)> {
    let name = name.to_owned();
    all.into_iter()
        .enumerate()
        .map(move |(n, spec)| (format!("{name}[{n}]"), spec))
}

/// A circle that is reached from `name`, as `a -> b -> a`. Each is found once.
fn ring<'a>(
    name: &'a str,
    graph: &BTreeMap<&'a str, Vec<&'a str>>,
    way: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<String> {
    if let Some(start) = way.iter().position(|on_way| *on_way == name) {
        return Some([&way[start..], &[name]].concat().join(" -> "));
    }
    if !done.insert(name) {
        return None;
    }
    way.push(name);
    let found = graph
        .get(name)
        .into_iter()
        .flatten()
        .find_map(|next| ring(next, graph, way, done));
    way.pop();
    found
}
