use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use rungs::{
    catalog::Tier,
    model::{OnExhaust, Recall},
    store::{OnStoreDown, Role},
};

use crate::{
    accounts::{self, GLOBAL, Terms},
    keys::{Family, Rights, Scopes},
};

/// Whoever stands behind a request, and what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// What they are here for.
    pub(crate) role: Role,
    /// The key's id; none on an open loopback.
    pub(crate) key: Option<Arc<str>>,
    /// Whose data they reach.
    pub(crate) tenant: Arc<str>,
    /// The folder that they work in, where they are on this computer and have no key.
    pub(crate) folder: PathBuf,
    /// The end user whom the credential itself names; others are named by each request.
    pub(crate) user: Option<Arc<str>>,
    /// What they may do.
    pub(crate) rights: Rights,
    /// What a call does that their budgets cannot pay for.
    pub(crate) on_exhaust: OnExhaust,
    /// What becomes of their calls while the store does not answer.
    pub(crate) on_store_down: OnStoreDown,
    /// The accounts that pay for their calls.
    pub(crate) accounts: Arc<[Arc<str>]>,
    /// The accounts that are their own.
    own: Vec<(Arc<str>, Terms)>,
}

impl Principal {
    /// Any program on this computer, in the gateway's own folder.
    pub(crate) fn local() -> Arc<Self> {
        static LOCAL: LazyLock<Arc<Principal>> = LazyLock::new(|| Arc::new(Principal::anybody()));
        Arc::clone(&LOCAL)
    }

    /// A program on this computer that was started in `folder`.
    pub(crate) fn local_in(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            folder,
            ..Self::anybody()
        })
    }

    fn anybody() -> Self {
        Self {
            role: Role::User,
            key: None,
            tenant: "local".into(),
            folder: ".".into(),
            user: None,
            rights: Rights {
                models: None,
                max_tier: None,
                routes: Scopes::ALL,
                rpm: None,
                tpm: None,
                ends: None,
            },
            on_exhaust: OnExhaust::default(),
            on_store_down: OnStoreDown::default(),
            accounts: Arc::new([GLOBAL.into()]),
            own: Vec::new(),
        }
    }

    /// Whoever has the configuration's admin key.
    pub(crate) fn admin() -> Self {
        Self {
            role: Role::Admin,
            key: Some("admin".into()),
            ..Self::anybody()
        }
    }

    /// Whoever has the first key of `family`, come in with a secret that opens until `until`.
    pub(crate) fn of_family(family: &Family, max_tier: Tier, until: Option<SystemTime>) -> Self {
        let key = family.key();
        let mut rights = family.rights(max_tier);
        rights.ends = rights.ends.into_iter().chain(until).min();
        let own: Vec<_> = family.accounts().collect();
        let projects = family.projects().into_iter().map(accounts::of_project);
        let names = own.iter().map(|(account, _)| account.clone());
        Self {
            role: key.role,
            key: Some(key.id.as_str().into()),
            tenant: key.tenant.as_str().into(),
            folder: PathBuf::new(),
            user: None,
            rights,
            on_exhaust: key.on_exhaust,
            on_store_down: on_store_down(&own),
            accounts: [GLOBAL.into()]
                .into_iter()
                .chain(names)
                .chain(projects)
                .collect(),
            own,
        }
    }

    /// The same on behalf of an end user.
    pub(crate) fn for_user(&self, user: Option<String>) -> Self {
        Self {
            user: user.map(Into::into),
            ..self.clone()
        }
    }

    /// A call may do without its conversation where it may do without its budgets.
    pub(crate) fn recall(&self) -> Recall {
        match self.on_store_down {
            OnStoreDown::Open => Recall::IfThere,
            OnStoreDown::Closed => Recall::Required,
        }
    }

    /// Whether they may ask for `model`.
    pub(crate) fn may_ask(&self, model: &str) -> bool {
        let models = self.rights.models.as_ref();
        models.is_none_or(|models| models.iter().any(|allowed| allowed == model))
    }

    /// Whether their key names the models or the tiers that it may reach.
    pub(crate) fn is_confined(&self) -> bool {
        self.rights.models.is_some() || self.rights.max_tier.is_some()
    }

    /// Whether their time is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.rights.ends.is_some_and(|end| end <= SystemTime::now())
    }

    /// The accounts that are theirs.
    pub(crate) fn own_accounts(&self) -> impl Iterator<Item = (Arc<str>, Terms)> {
        self.own.iter().cloned()
    }
}

/// One account that is closed closes the call.
fn on_store_down(own: &[(Arc<str>, Terms)]) -> OnStoreDown {
    let open = |(_, terms): &(_, Terms)| terms.on_store_down == Some(OnStoreDown::Open);
    match own.iter().all(open) {
        true => OnStoreDown::Open,
        false => OnStoreDown::Closed,
    }
}
