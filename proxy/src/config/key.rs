use std::sync::Arc;

use rungs::{
    catalog::Tier,
    model::OnExhaust,
    store::{Budget, Zone},
};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    World,
    error::Faults,
    money::check_budgets,
    secret::{SecretSpec, is_strong},
};
use crate::keys::{BudgetTexts, Scope, Scopes};

/// `[[key]]` as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySpec {
    pub(super) name: String,
    key: SecretSpec,
    #[serde(default = "default_tenant")]
    tenant: String,
    #[serde(default)]
    pub(super) models: Vec<String>,
    max_tier: Option<Tier>,
    #[serde(default, rename = "budget")]
    budgets: BudgetTexts,
    tz: Option<Zone>,
    #[serde(default)]
    pub(super) project: Option<String>,
    #[serde(default)]
    routes: Vec<Scope>,
    #[serde(default)]
    on_exhaust: OnExhaust,
    rpm: Option<u64>,
    tpm: Option<u64>,
}

/// A key that opens the gateway. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// What people call it; unique.
    pub(crate) name: Arc<str>,
    /// The key itself: at least 16 characters, and no well-known ones.
    pub(crate) secret: SecretString,
    /// Whose data it reaches.
    pub(crate) tenant: Arc<str>,
    /// Models it may ask for; empty means all.
    pub(crate) models: Vec<String>,
    /// The highest tier it may reach, if it differs from the configured one.
    pub(crate) max_tier: Option<Tier>,
    /// Its budgets, all in force at once.
    pub(crate) budgets: Vec<Budget>,
    /// The project that pays as well.
    pub(crate) project: Option<Arc<str>>,
    /// Routes it may call.
    pub(crate) routes: Scopes,
    /// What a call does that its budgets cannot pay for.
    pub(crate) on_exhaust: OnExhaust,
    /// Requests per minute.
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute.
    pub(crate) tpm: Option<u64>,
}

impl KeySpec {
    /// Checks everything and fetches the secret; `path` is where it is written, `zone` where its budgets have
    /// their midnight if it does not say.
    pub(super) fn resolve(
        &self,
        path: &str,
        zone: &Zone,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<Key> {
        for (name, text) in [("name", &self.name), ("tenant", &self.tenant)] {
            if text.trim().is_empty() {
                faults.at(&format!("{path}.{name}"), "is empty");
            }
        }
        if self.tenant.contains('/') {
            faults.at(&format!("{path}.tenant"), "has a `/` in it");
        }
        let budgets = self.budgets.in_zone(self.tz.as_ref().unwrap_or(zone));
        check_budgets(&budgets, &format!("{path}.budget"), faults);
        let secret = self
            .key
            .resolve(world)
            .and_then(|secret| is_strong(&secret).map(|()| secret))
            .map_err(|why| faults.at(&format!("{path}.key"), why))
            .ok()?;
        Some(Key {
            name: self.name.as_str().into(),
            secret,
            tenant: self.tenant.as_str().into(),
            models: self.models.clone(),
            max_tier: self.max_tier,
            budgets,
            project: self.project.as_deref().map(Into::into),
            routes: match &*self.routes {
                [] => Scopes::ALL,
                routes => routes.iter().copied().collect(),
            },
            on_exhaust: self.on_exhaust,
            rpm: self.rpm,
            tpm: self.tpm,
        })
    }
}

fn default_tenant() -> String {
    "default".to_owned()
}
