use std::sync::Arc;

use rungs::{catalog::Tier, store::Budget};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::{
    World,
    error::Faults,
    secret::{SecretSpec, is_strong},
};

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
    #[serde(default, rename = "budget", deserialize_with = "one_or_more")]
    budgets: Vec<Budget>,
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
    /// Requests per minute.
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute.
    pub(crate) tpm: Option<u64>,
}

impl KeySpec {
    /// Checks everything and fetches the secret; `path` is where it is written.
    pub(super) fn resolve(
        &self,
        path: &str,
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<Key> {
        for (name, text) in [("name", &self.name), ("tenant", &self.tenant)] {
            if text.trim().is_empty() {
                faults.at(&format!("{path}.{name}"), "is empty");
            }
        }
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
            budgets: self.budgets.clone(),
            rpm: self.rpm,
            tpm: self.tpm,
        })
    }
}

fn default_tenant() -> String {
    "default".to_owned()
}

/// `budget = "1/day"` or `budget = ["1/day", "5/week"]`.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Budget>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "budgets are texts like \"1/day\", one or a list of them"
    )]
    enum Texts {
        One(String),
        More(Vec<String>),
    }
    let texts = match Texts::deserialize(d)? {
        Texts::One(text) => vec![text],
        Texts::More(texts) => texts,
    };
    let budgets = texts.iter().map(|text| text.parse());
    budgets
        .collect::<Result<_, _>>()
        .map_err(serde::de::Error::custom)
}
