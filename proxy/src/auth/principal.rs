use std::sync::{Arc, LazyLock};

use rungs::{
    catalog::Tier,
    store::{Budget, KeyRecord},
};

use crate::config::Key;

/// Whoever stands behind a request, and what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// The key's id; none on an open loopback.
    pub(crate) key: Option<Arc<str>>,
    /// Whose data they reach.
    pub(crate) tenant: Arc<str>,
    /// Models they may ask for; empty means all.
    pub(crate) models: Vec<String>,
    /// The highest tier they may ask for, where it differs from the configured one.
    pub(crate) max_tier: Option<Tier>,
    /// What they may spend.
    pub(crate) budgets: Vec<Budget>,
    /// Requests per minute.
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute.
    pub(crate) tpm: Option<u64>,
    /// The accounts that pay for their calls.
    pub(crate) accounts: Arc<[Arc<str>]>,
}

/// The account that pays for everything.
pub(crate) const GLOBAL: &str = "global";

impl Principal {
    /// Any program on this computer.
    pub(crate) fn local() -> Arc<Self> {
        static LOCAL: LazyLock<Arc<Principal>> =
            LazyLock::new(|| Arc::new(Principal::anybody("local")));
        Arc::clone(&LOCAL)
    }

    fn anybody(tenant: &str) -> Self {
        Self {
            key: None,
            tenant: tenant.into(),
            models: Vec::new(),
            max_tier: None,
            budgets: Vec::new(),
            rpm: None,
            tpm: None,
            accounts: Arc::new([GLOBAL.into()]),
        }
    }

    pub(crate) fn of_config(key: &Key) -> Self {
        Self {
            models: key.models.clone(),
            max_tier: key.max_tier,
            budgets: key.budgets.clone(),
            rpm: key.rpm,
            tpm: key.tpm,
            ..Self::named(&key.name, &key.tenant)
        }
    }

    pub(crate) fn of_record(key: &KeyRecord) -> Self {
        Self {
            models: key.models.clone(),
            max_tier: key.max_tier,
            budgets: key.budgets.clone(),
            rpm: key.rpm,
            tpm: key.tpm,
            ..Self::named(&key.id, &key.tenant)
        }
    }

    fn named(id: &str, tenant: &str) -> Self {
        Self {
            key: Some(id.into()),
            accounts: Arc::new([GLOBAL.into(), account(id)]),
            ..Self::anybody(tenant)
        }
    }

    /// Whether they may ask for `model`.
    pub(crate) fn may_ask(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|allowed| allowed == model)
    }
}

/// The account of a key.
pub(crate) fn account(key: &str) -> Arc<str> {
    format!("key:{key}").into()
}
