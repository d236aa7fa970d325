use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use super::{Deployment, DeploymentId, Tier};

/// The deployments that a model name stands for, resolved once where the call enters.
///
/// `auto` stands for all, a model's name for those that serve it. Fallbacks are asked only when none of the first answers.
/// The fingerprint is part of a cache key: an answer is never served for a name that has come to mean something else.
#[derive(Clone)]
pub struct Targets(Arc<Inner>);

struct Inner {
    first: Vec<Arc<Deployment>>,
    fallback: Vec<Arc<Deployment>>,
    fingerprint: [u8; 32],
}

impl Targets {
    /// Targets in the order given within one tier and priority; sorted by tier, then priority.
    #[must_use]
    pub fn new(first: impl IntoIterator<Item = Arc<Deployment>>) -> Self {
        Self::build(first.into_iter().collect(), Vec::new())
    }

    /// The same with others to ask when none of these answers, in the order given.
    #[must_use]
    pub fn or_else(&self, fallback: impl IntoIterator<Item = Arc<Deployment>>) -> Self {
        Self::build(self.0.first.clone(), fallback.into_iter().collect())
    }

    fn build(mut first: Vec<Arc<Deployment>>, fallback: Vec<Arc<Deployment>>) -> Self {
        first.sort_by_key(|d| (d.tier, d.priority));
        let mut hasher = blake3::Hasher::new();
        for group in [&first, &fallback] {
            hasher.update(&(group.len() as u64).to_le_bytes());
            for d in group {
                for part in [d.id.as_str(), &*d.upstream] {
                    hasher.update(&(part.len() as u64).to_le_bytes());
                    hasher.update(part.as_bytes());
                }
                hasher.update(&[d.tier.level()]);
            }
        }
        Self(Arc::new(Inner {
            first,
            fallback,
            fingerprint: *hasher.finalize().as_bytes(),
        }))
    }

    /// The deployments the name stands for, cheapest tier first.
    #[must_use]
    pub fn first(&self) -> &[Arc<Deployment>] {
        &self.0.first
    }

    /// The deployments to ask when none of the first answers.
    #[must_use]
    pub fn fallback(&self) -> &[Arc<Deployment>] {
        &self.0.fallback
    }

    /// Whether `id` is among the first.
    #[must_use]
    pub fn contains(&self, id: &DeploymentId) -> bool {
        self.0.first.iter().any(|d| d.id == *id)
    }

    /// The tiers that have a deployment, in order.
    pub fn tiers(&self) -> impl Iterator<Item = Tier> {
        let mut last = None;
        self.0
            .first
            .iter()
            .map(|d| d.tier)
            .filter(move |tier| last.replace(*tier) != Some(*tier))
    }

    /// The next tier above `tier`, at most `max`, that has a deployment.
    #[must_use]
    pub fn tier_above(&self, tier: Tier, max: Tier) -> Option<Tier> {
        self.tiers().find(|t| *t > tier && *t <= max)
    }

    /// 256 bits that change with any deployment, upstream name, tier or order.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.0.fingerprint
    }
}

impl Default for Targets {
    fn default() -> Self {
        static NONE: LazyLock<Targets> = LazyLock::new(|| Targets::new([]));
        NONE.clone()
    }
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.first.iter().chain(&self.0.fallback).map(|d| &d.id))
            .finish()
    }
}
