//! Who may call which route. A route without a grant is closed.

use rungs::{Error, ErrorKind, store::Role};

use crate::{auth::Principal, keys::Scope};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Anybody, without a key: probes have none. These routes tell states, not data.
    Open,
    /// Keys that call models, where they are not held to other routes.
    User(Scope),
    /// The same, and admin keys.
    Any(Scope),
    /// Keys that call models, and tokens of the configured issuer.
    Mcp,
    /// Admin keys.
    Admin,
}

impl Grant {
    /// Whether nobody comes in without a credential, on an open loopback neither: tools do more than answer questions, whoever calls
    /// them.
    pub(crate) fn reaches_tools(self) -> bool {
        matches!(self, Self::Mcp | Self::User(Scope::Agent))
    }

    /// Whether `who` may come in; or why not.
    pub(crate) fn admits(self, who: &Principal) -> Result<(), Error> {
        match (self, who.role) {
            (Self::Open, _) | (Self::Admin, Role::Admin) => Ok(()),
            (Self::Admin, Role::User) if who.key.is_none() => Err(Error::new(
                ErrorKind::Unauthorized,
                "this route takes an admin key, that of `[admin]` or one made with `rungs keys create --role admin`",
            )),
            (Self::Admin, Role::User) => Err(forbidden("this route takes an admin key")),
            (Self::User(_) | Self::Mcp, Role::Admin) => Err(forbidden(
                "an admin key calls no models; make another key for that",
            )),
            (Self::Any(_), Role::Admin) => Ok(()),
            (Self::User(scope) | Self::Any(scope), Role::User) => within(scope, who),
            (Self::Mcp, Role::User) => within(Scope::Mcp, who),
        }
    }
}

fn within(scope: Scope, who: &Principal) -> Result<(), Error> {
    if who.rights.routes.contains(scope) {
        return Ok(());
    }
    let scope = scope.as_str();
    Err(forbidden(format!(
        "this key is held to other routes than `{scope}`"
    )))
}

fn forbidden(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Forbidden, why)
}
