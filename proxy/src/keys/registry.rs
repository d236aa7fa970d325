use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rungs::{
    Error, ErrorKind,
    model::OnExhaust,
    store::{KeyRecord, KeyStore, OnStoreDown, Secret},
};

use super::{Family, NewKey, Rules, Terms, rfc3339};
use crate::auth::{Credential, Pepper};

/// Keys, and all that can be done with them.
pub(crate) struct Registry {
    store: Arc<dyn KeyStore>,
    pepper: Pepper,
    rules: Rules,
}

/// A key with its secret, which nobody sees again.
pub(crate) struct Issued {
    pub(crate) key: KeyRecord,
    pub(crate) credential: String,
}

/// How often a change is tried that others come before.
const TRIES: usize = 8;

/// The longest time that a secret outlives its rotation.
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 86_400);

impl Registry {
    pub(crate) fn new(store: Arc<dyn KeyStore>, pepper: Pepper, rules: Rules) -> Self {
        Self {
            store,
            pepper,
            rules,
        }
    }

    /// Makes a key of 256 random bits.
    pub(crate) async fn create(&self, new: NewKey) -> Result<Issued, Error> {
        let now = now();
        let parent = match &new.parent {
            Some(id) => Some(self.family(id).await.map_err(|e| e.param("parent"))?),
            None => None,
        };
        let tenant = new
            .tenant
            .or_else(|| Some(parent.as_ref()?.key().tenant.clone()));
        let credential = Credential::fresh(&self.pepper)?;
        let mut key = KeyRecord {
            id: credential.id,
            name: String::new(),
            role: new.role,
            hash: credential.hash,
            previous: None,
            tenant: tenant.unwrap_or_else(|| "default".to_owned()),
            parent: new.parent,
            project: None,
            models: Vec::new(),
            max_tier: None,
            routes: Vec::new(),
            budgets: Vec::new(),
            warn_at: None,
            on_exhaust: OnExhaust::default(),
            on_store_down: OnStoreDown::default(),
            rpm: None,
            tpm: None,
            created: now,
            expires: None,
            revoked: None,
            version: 0,
        };
        new.terms.apply(&mut key, &self.rules.zone, now);
        self.rules.check(&key, parent.as_ref(), now)?;
        self.store.insert(&key).await.map_err(down)?;
        Ok(Issued {
            key,
            credential: credential.text,
        })
    }

    /// Gives a key a new secret. The old one opens for `grace` longer. What the key may do is not looked at, only whether it is in
    /// force: whatever has changed around it, a secret that has leaked must go.
    pub(crate) async fn rotate(&self, id: &str, grace: Duration) -> Result<Issued, Error> {
        if grace > LONGEST_GRACE {
            return Err(Error::invalid("`grace` is longer than 30 days").param("grace"));
        }
        let mut text = String::new();
        let key = self.change(id, |key, above, now| {
            let expired = key.expires.is_some_and(|end| end <= now);
            if expired || above.is_some_and(|above| above.has_ended(now)) {
                return Err(Error::invalid(
                    "the key, or one above it, has expired or was revoked: it opens nothing",
                ));
            }
            // There is room for one older secret: a client that still has it counts on its time.
            if let Some(old) = &key.previous
                && old.until > now
                && !grace.is_zero()
            {
                let what = format!(
                    "the secret before the last rotation opens until {}: rotate without `grace`, which ends both, or later",
                    rfc3339(old.until)
                );
                return Err(Error::invalid(what).param("grace"));
            }
            let fresh = Credential::again(&key.id, &self.pepper)?;
            let old = std::mem::replace(&mut key.hash, fresh.hash);
            key.previous = (!grace.is_zero()).then_some(Secret {
                hash: old,
                until: now + grace,
            });
            text = fresh.text;
            Ok(())
        });
        Ok(Issued {
            key: key.await?,
            credential: text,
        })
    }

    /// Changes what is given, and nothing else.
    pub(crate) async fn patch(&self, id: &str, terms: &Terms) -> Result<KeyRecord, Error> {
        self.change(id, |key, above, now| {
            terms.apply(key, &self.rules.zone, now);
            self.rules.check(key, above, now)
        })
        .await
    }

    /// Takes a key back, and all below it.
    pub(crate) async fn revoke(&self, id: &str) -> Result<KeyRecord, Error> {
        // Read before, so that nothing can fail when it is done.
        let key = self.show(id).await?;
        if !self.store.revoke(id).await.map_err(down)? {
            return Err(Error::invalid(format!("the key `{id}` is revoked already")));
        }
        Ok(KeyRecord {
            revoked: Some(now()),
            ..key
        })
    }

    /// One key.
    pub(crate) async fn show(&self, id: &str) -> Result<KeyRecord, Error> {
        let key = self.store.get(id).await.map_err(down)?;
        key.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such key"))
    }

    /// All of them, oldest first.
    pub(crate) async fn list(&self) -> Result<Vec<KeyRecord>, Error> {
        self.store.list().await.map_err(down)
    }

    async fn family(&self, id: &str) -> Result<Family, Error> {
        let key = self.show(id).await?;
        Family::of(key, &*self.store).await.map_err(down)
    }

    /// Makes a change to a key in force, with what is above it, and again if another came before it. Nothing can fail once it is
    /// made: a new secret that nobody is told is lost.
    async fn change(
        &self,
        id: &str,
        mut change: impl FnMut(&mut KeyRecord, Option<&Family>, SystemTime) -> Result<(), Error>,
    ) -> Result<KeyRecord, Error> {
        for _ in 0..TRIES {
            let now = now();
            let mut key = self.show(id).await?;
            if key.revoked.is_some() {
                return Err(Error::invalid("the key is revoked; make a new one"));
            }
            let parent = match &key.parent {
                Some(id) => Some(self.family(id).await?),
                None => None,
            };
            change(&mut key, parent.as_ref(), now)?;
            if self.store.update(&key).await.map_err(down)? {
                key.version += 1;
                return Ok(key);
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "the key is being changed by others; try again",
        ))
    }
}

/// To the millisecond, as stores keep it.
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// A store that does not answer is our trouble, not the caller's.
fn down(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Internal => Error::new(
            ErrorKind::Unavailable,
            "the keys cannot be reached right now",
        )
        .with_source(error),
        _ => error,
    }
}
