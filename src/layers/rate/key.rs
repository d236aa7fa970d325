use std::sync::Arc;

use crate::model::Call;

/// Whose calls are counted together. Calls without a key, or a user, are counted together too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateKey {
    /// Everybody's.
    #[default]
    Fixed,
    /// Those of one API key.
    Key,
    /// Those of one end user of a tenant.
    User,
    /// Those of one tenant.
    Tenant,
}

impl RateKey {
    /// The name under which `call` is counted. What a client chose stands last, so that no two names run together.
    pub(super) fn name(self, prefix: &Arc<str>, call: &Call) -> Arc<str> {
        let Call {
            tenant, key, user, ..
        } = call;
        match self {
            Self::Fixed => Arc::clone(prefix),
            Self::Tenant => format!("{prefix}/tenant/{tenant}").into(),
            Self::Key => match key {
                Some(key) => format!("{prefix}/key/{key}").into(),
                None => format!("{prefix}/no-key").into(),
            },
            Self::User => match user {
                Some(user) => format!("{prefix}/{}:{tenant}/user/{user}", tenant.len()).into(),
                None => format!("{prefix}/{}:{tenant}/no-user", tenant.len()).into(),
            },
        }
    }
}
