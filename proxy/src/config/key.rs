use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use rungs::{
    catalog::Tier,
    model::OnExhaust,
    store::{KeyRecord, OnStoreDown, Role, Zone},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    AUTO, Config, World,
    entries::Entries,
    error::Faults,
    nearest::did_you_mean,
    secret::{SecretSpec, is_strong},
};
use crate::keys::{BudgetTexts, Expiry, Family, Rules, Scope};

/// `[[key]]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySpec {
    name: String,
    key: SecretSpec,
    /// The name of another key of the file.
    parent: Option<String>,
    /// Its parent's if it does not say.
    tenant: Option<String>,
    #[serde(default)]
    models: Vec<String>,
    max_tier: Option<Tier>,
    #[serde(default, rename = "budget")]
    budgets: BudgetTexts,
    tz: Option<Zone>,
    warn_at: Option<u8>,
    project: Option<String>,
    #[serde(default)]
    routes: Vec<Scope>,
    #[serde(default)]
    on_exhaust: OnExhaust,
    #[serde(default)]
    on_store_down: OnStoreDown,
    rpm: Option<u64>,
    tpm: Option<u64>,
    expires: Option<Expiry>,
}

/// A key of the file, which opens the gateway. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The key itself: at least 16 characters, and no well-known ones.
    pub(crate) secret: SecretString,
    /// What it may do, with the keys above it. Its name is its id; its record has no hash, as no store keeps it.
    pub(crate) family: Family,
}

impl Key {
    /// What people call it; unique.
    pub(crate) fn name(&self) -> &str {
        &self.family.key().name
    }
}

/// Checks the keys of a file, by the rules that keys of a store have to keep to as well.
pub(super) fn keys(
    specs: &[KeySpec],
    config: &Config,
    models: &Entries,
    world: &World<'_>,
    faults: &mut Faults<'_>,
) -> Vec<Key> {
    let rules = Rules::of(config);
    let records: Vec<_> = specs
        .iter()
        .map(|spec| spec.record(specs, &config.budget.tz))
        .collect();
    let by_name: HashMap<&str, &KeyRecord> = records.iter().map(|r| (&*r.id, r)).collect();
    let mut keys: Vec<Key> = Vec::new();
    for (n, (spec, record)) in specs.iter().zip(&records).enumerate() {
        let path = format!("key[{n}]");
        spec.check(&path, specs, models, faults);
        let family = Family::among(record.clone(), &by_name);
        let above = record.parent.as_deref().and_then(|name| by_name.get(name));
        let above = above.map(|parent| Family::among((*parent).clone(), &by_name));
        // A key that has ended is no fault: the gateway would not start again one day.
        if let Err(error) = rules.check(record, above.as_ref(), UNIX_EPOCH) {
            let member = match error.get_param() {
                Some("budgets") => ".budget".to_owned(),
                Some(member) => format!(".{member}"),
                None => String::new(),
            };
            faults.at(&format!("{path}{member}"), error.message());
        }
        if records[..n].iter().any(|other| other.id == record.id) {
            faults.at(
                &format!("{path}.name"),
                format_args!("there are two keys `{}`", record.id),
            );
        }
        let Some(secret) = spec.secret(&path, world, faults) else {
            continue;
        };
        let same = |other: &&Key| other.secret.expose_secret() == secret.expose_secret();
        if let Some(other) = keys.iter().find(same) {
            faults.at(
                &format!("{path}.key"),
                format_args!("is the key of `{}` too", other.name()),
            );
        }
        keys.push(Key { secret, family });
    }
    keys
}

impl KeySpec {
    /// What it says, as a store would keep it.
    fn record(&self, all: &[Self], zone: &Zone) -> KeyRecord {
        let zone = self.tz.as_ref().unwrap_or(zone);
        let tenant = self.line(all).find_map(|key| key.tenant.clone());
        KeyRecord {
            id: self.name.clone(),
            name: self.name.clone(),
            role: Role::User,
            hash: [0; 32],
            previous: None,
            tenant: tenant.unwrap_or_else(|| "default".to_owned()),
            parent: self.parent.clone(),
            project: self.project.clone(),
            models: self.models.clone(),
            max_tier: self.max_tier,
            routes: self.routes.iter().map(|r| r.as_str().into()).collect(),
            budgets: self.budgets.in_zone(zone),
            warn_at: self.warn_at,
            on_exhaust: self.on_exhaust,
            on_store_down: self.on_store_down,
            rpm: self.rpm,
            tpm: self.tpm,
            created: UNIX_EPOCH,
            expires: self.expires.map(|expires| expires.moment(UNIX_EPOCH)),
            revoked: None,
            version: 0,
        }
    }

    /// Itself, and the keys above it. Ends also where it goes round in a circle.
    fn line<'a>(&'a self, all: &'a [Self]) -> impl Iterator<Item = &'a Self> {
        let parent = |key: &&'a Self| {
            let parent = key.parent.as_deref()?;
            all.iter().find(|other| other.name == parent)
        };
        std::iter::successors(Some(self), parent).take(all.len())
    }

    /// Checks what it says of other parts of the file, and what a file cannot say.
    fn check(&self, path: &str, all: &[Self], models: &Entries, faults: &mut Faults<'_>) {
        for name in &self.models {
            if name != AUTO {
                models.check_name(name, &format!("{path}.models"), faults);
            }
        }
        if let Some(parent) = &self.parent {
            let path = format!("{path}.parent");
            let names = || all.iter().map(|key| &*key.name);
            if !names().any(|name| name == parent) {
                let hint = did_you_mean(parent, names());
                faults.at(
                    &path,
                    format_args!("there is no key `{parent}` in this file{hint}"),
                );
            } else if self.line(all).skip(1).any(|above| above.name == self.name)
                || self.name == *parent
            {
                faults.at(&path, "goes round in a circle");
            }
        }
        if let Some(Expiry::After(_)) = self.expires {
            faults.at(
                &format!("{path}.expires"),
                "is a length of time, and a file is read more than once; set a day like \"2027-01-31\" or a moment like \
                 \"2027-01-31T00:00:00Z\"",
            );
        }
    }

    fn secret(
        &self,
        path: &str,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<SecretString> {
        let secret = self.key.resolve(world);
        secret
            .and_then(|secret| is_strong(&secret).map(|()| secret))
            .map_err(|why| faults.at(&format!("{path}.key"), why))
            .ok()
    }
}

/// The names of keys that open nothing any more.
pub(super) fn ended(keys: &[Key], now: SystemTime) -> impl Iterator<Item = &str> {
    keys.iter()
        .filter(move |key| key.family.has_ended(now))
        .map(Key::name)
}
