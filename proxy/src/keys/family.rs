use std::{collections::HashMap, sync::Arc, time::SystemTime};

use rungs::{
    Error,
    catalog::Tier,
    store::{KeyRecord, KeyStore},
};

use super::Scopes;
use crate::accounts;

/// How many keys stand above each other at most.
pub(super) const DEEPEST: usize = 8;

/// A key and all keys above it. It may do what all of them may, and all of them pay.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// The key first, the topmost last.
    keys: Vec<KeyRecord>,
    /// Whether a key above is missing.
    broken: bool,
}

/// What a key may do, with those above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Models it may ask for; `None` means all.
    pub(crate) models: Option<Vec<String>>,
    /// The highest tier it may reach, where it differs from the configured one.
    pub(crate) max_tier: Option<Tier>,
    /// Routes it may call.
    pub(crate) routes: Scopes,
    /// Requests per minute.
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute.
    pub(crate) tpm: Option<u64>,
    /// When it ends.
    pub(crate) ends: Option<SystemTime>,
}

impl Family {
    /// The family of `key`, with what `store` knows of those above.
    pub(crate) async fn of(key: KeyRecord, store: &dyn KeyStore) -> Result<Self, Error> {
        let mut family = Self {
            keys: vec![key],
            broken: false,
        };
        while let Some(parent) = family.keys.last().and_then(|key| key.parent.clone()) {
            match store.get(&parent).await? {
                Some(parent) if family.keys.len() < DEEPEST => family.keys.push(parent),
                _ => {
                    family.broken = true;
                    break;
                }
            }
        }
        Ok(family)
    }

    /// The family of `key`, with what `keys`, by their ids, say of those above.
    pub(crate) fn among(key: KeyRecord, keys: &HashMap<&str, &KeyRecord>) -> Self {
        let mut family = Self {
            keys: vec![key],
            broken: false,
        };
        while let Some(parent) = family.keys.last().and_then(|key| key.parent.as_deref()) {
            match keys.get(parent) {
                Some(parent) if family.keys.len() < DEEPEST => family.keys.push((*parent).clone()),
                _ => {
                    family.broken = true;
                    break;
                }
            }
        }
        family
    }

    pub(crate) fn key(&self) -> &KeyRecord {
        &self.keys[0]
    }

    pub(super) fn depth(&self) -> usize {
        self.keys.len()
    }

    /// Whether the key, or one above it, was taken back or has expired.
    pub(crate) fn has_ended(&self, now: SystemTime) -> bool {
        let over = |time: Option<SystemTime>| time.is_some_and(|time| time <= now);
        let ended = |key: &KeyRecord| key.revoked.is_some() || over(key.expires);
        self.broken || self.keys.iter().any(ended)
    }

    /// What it may do, where a key without a ceiling of its own reaches up to `max_tier`.
    pub(crate) fn rights(&self, max_tier: Tier) -> Rights {
        let all = Rights {
            models: None,
            max_tier: None,
            routes: Scopes::ALL,
            rpm: None,
            tpm: None,
            ends: None,
        };
        self.keys.iter().rev().fold(all, |above, key| Rights {
            models: match (above.models, &*key.models) {
                (above, []) => above,
                (None, own) => Some(own.to_vec()),
                (Some(mut above), own) => {
                    above.retain(|model| own.contains(model));
                    Some(above)
                }
            },
            max_tier: match (above.max_tier, key.max_tier) {
                (above, None) => above,
                (None, own) if key.parent.is_none() => own,
                (above, Some(own)) => Some(own.min(above.unwrap_or(max_tier))),
            },
            routes: above.routes.and(Scopes::named(&key.routes)),
            rpm: least(above.rpm, key.rpm),
            tpm: least(above.tpm, key.tpm),
            ends: least(above.ends, key.expires),
        })
    }

    /// The account of each key, with its terms.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Arc<str>, accounts::Terms)> {
        self.keys.iter().map(|key| {
            let terms = accounts::Terms {
                budgets: key.budgets.clone(),
                warn_at: key.warn_at,
                on_store_down: Some(key.on_store_down),
            };
            (accounts::of_key(&key.id), terms)
        })
    }

    /// Their projects, each once: an account that is named twice pays twice.
    pub(crate) fn projects(&self) -> Vec<&str> {
        let mut projects: Vec<_> = self
            .keys
            .iter()
            .filter_map(|k| k.project.as_deref())
            .collect();
        projects.sort_unstable();
        projects.dedup();
        projects
    }
}

fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
