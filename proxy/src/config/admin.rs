use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    Key, World,
    error::Faults,
    secret::{SecretSpec, is_strong},
};

/// The fewest characters of an admin key.
const SHORTEST: usize = 24;

/// `[admin]`: who looks after keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminSpec {
    /// Opens `/admin/v1`.
    key: Option<SecretSpec>,
}

impl AdminSpec {
    /// Fetches the key. One that cannot be fetched, or that somebody may guess, is a fault: the gateway must not start.
    pub(super) fn resolve(
        &self,
        keys: &[Key],
        world: &World<'_>,
        faults: &mut Faults<'_>,
    ) -> Option<SecretString> {
        let checked = |secret: SecretString| {
            is_strong(&secret)?;
            if secret.expose_secret().chars().count() < SHORTEST {
                return Err(format!("the key has fewer than {SHORTEST} characters"));
            }
            let same = |key: &&Key| key.secret.expose_secret() == secret.expose_secret();
            match keys.iter().find(same) {
                Some(key) => Err(format!("is the key of `{}` too", key.name())),
                None => Ok(secret),
            }
        };
        let secret = self.key.as_ref()?.resolve(world).and_then(checked);
        secret.map_err(|why| faults.at("admin.key", why)).ok()
    }
}
