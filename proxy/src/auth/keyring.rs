use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use foldhash::HashMap;
use rungs::{
    Error, ErrorKind,
    catalog::Tier,
    store::{KeyRecord, KeyStore, OnStoreDown, Role},
};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{Pepper, Principal, credential::id_of};
use crate::{accounts, config::Config, keys::Family};

/// How long a key that was found is trusted without asking the store again. What another process changes takes this long at most;
/// what this one changes is seen at once.
pub(crate) const TRUST: Duration = Duration::from_secs(30);

/// How long while the store does not answer: as long as money that was leased before.
const WITHOUT_STORE: Duration = Duration::from_secs(10 * 60);

/// While it is busy, or before it is known to be away, a moment longer than otherwise.
const WHILE_BUSY: Duration = TRUST.saturating_add(Duration::from_secs(10));

/// And a key whose calls go on without a store.
const OPEN_WITHOUT_STORE: Duration = Duration::from_secs(24 * 60 * 60);

/// The most credentials that are remembered at once.
const REMEMBERED: usize = 10_000;

/// Finds out who stands behind a credential.
pub(crate) struct Keyring {
    pepper: Pepper,
    store: Arc<dyn KeyStore>,
    /// How high a key reaches that has no ceiling of its own.
    max_tier: Tier,
    /// Whose budgets are known.
    projects: Vec<Arc<str>>,
    /// By the hash of the whole credential: equal beginnings never share an identity.
    configured: HashMap<[u8; 32], Arc<Principal>>,
    /// Shared with the keyring of the next configuration, if keys are the same to it.
    found: Arc<RwLock<Found>>,
}

/// Why the store has not told who stands behind a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It has too much to do, or nobody knows yet that it is away.
    Busy,
    /// It does not answer anybody.
    Away,
}

/// Keys of the store that were looked up lately.
#[derive(Default)]
struct Found {
    /// When, by the hash of the whole credential.
    keys: HashMap<[u8; 32], (Instant, Arc<Principal>)>,
    /// Counts how often all were forgotten.
    changes: u64,
}

/// How many changes there were when a look-up began: what it found is of no use if there was one since.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Before(u64);

impl Keyring {
    /// The keyring of a configuration, in place of the one of `before`.
    pub(crate) fn new(
        pepper: Pepper,
        store: Arc<dyn KeyStore>,
        config: &Config,
        before: Option<&Self>,
    ) -> Self {
        let max_tier = config.routing.max_tier;
        let projects: Vec<_> = config.projects.iter().map(|p| p.name.clone()).collect();
        let same = before.filter(|old| old.max_tier == max_tier && old.projects == projects);
        let users = config.keys.iter().map(|key| {
            let principal = Principal::of_family(&key.family, max_tier, None);
            (&key.secret, principal)
        });
        let admin = config.admin.iter().map(|key| (key, Principal::admin()));
        let configured = users.chain(admin).map(|(secret, principal)| {
            let hash = pepper.hash(secret.expose_secret());
            (hash, Arc::new(principal))
        });
        Self {
            configured: configured.collect(),
            found: same.map_or_else(Arc::default, |old| Arc::clone(&old.found)),
            max_tier,
            projects,
            pepper,
            store,
        }
    }

    /// The principal behind a credential that was seen lately, without asking the store.
    pub(crate) fn known(&self, credential: &str) -> Option<Arc<Principal>> {
        let hash = self.pepper.hash(credential);
        if let Some(principal) = self.configured.get(&hash) {
            return (!principal.has_ended()).then(|| Arc::clone(principal));
        }
        self.trusted(&hash, |_| TRUST)
    }

    /// The principal behind a credential that was found before the store fell silent. Nobody looks after keys in that way.
    pub(crate) fn known_without_store(
        &self,
        credential: &str,
        silence: Silence,
    ) -> Option<Arc<Principal>> {
        let hash = self.pepper.hash(credential);
        let known = self.trusted(&hash, |principal| {
            match (silence, principal.on_store_down) {
                (Silence::Busy, _) => WHILE_BUSY,
                (Silence::Away, OnStoreDown::Open) => OPEN_WITHOUT_STORE,
                (Silence::Away, OnStoreDown::Closed) => WITHOUT_STORE,
            }
        });
        known.filter(|principal| principal.role == Role::User)
    }

    fn trusted(
        &self,
        hash: &[u8; 32],
        how_long: impl FnOnce(&Principal) -> Duration,
    ) -> Option<Arc<Principal>> {
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        let (since, principal) = found.keys.get(hash)?;
        let is_trusted = since.elapsed() < how_long(principal) && !principal.has_ended();
        is_trusted.then(|| Arc::clone(principal))
    }

    /// To be asked before [`look_up`](Self::look_up), for [`remember`](Self::remember).
    pub(crate) fn before(&self) -> Before {
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        Before(found.changes)
    }

    /// The principal behind a credential, read from the store. One that opens nothing any more is not known any more.
    pub(crate) async fn look_up(&self, credential: &str) -> Result<Arc<Principal>, Error> {
        let found = self.read(credential).await;
        if let Err(error) = &found
            && error.kind() != ErrorKind::Unavailable
        {
            let hash = self.pepper.hash(credential);
            let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
            found.keys.remove(&hash);
        }
        found
    }

    async fn read(&self, credential: &str) -> Result<Arc<Principal>, Error> {
        let unknown = || {
            Error::new(
                ErrorKind::Unauthorized,
                "the API key is not known, has expired, or was revoked",
            )
        };
        let id = id_of(credential).ok_or_else(unknown)?;
        let record = self.store.get(id).await.map_err(unchecked)?;
        let record = record.ok_or_else(unknown)?;
        let now = SystemTime::now();
        let hash = self.pepper.hash(credential);
        let until = opens(&record, &hash, now).ok_or_else(unknown)?;
        let family = Family::of(record, &*self.store).await.map_err(unchecked)?;
        if family.has_ended(now) {
            return Err(unknown());
        }
        if let Some(project) = lost_project(&family, &self.projects) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!(
                    "the project `{project}` that pays for this key is not in the configuration: bring back its [[project]], or give \
                     the key another"
                ),
            ));
        }
        let principal = Principal::of_family(&family, self.max_tier, until);
        Ok(Arc::new(principal))
    }

    /// Trusts a credential that was looked up for a while, unless keys have changed meanwhile.
    pub(crate) fn remember(&self, credential: &str, principal: &Arc<Principal>, before: Before) {
        let hash = self.pepper.hash(credential);
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        if found.changes != before.0 {
            return;
        }
        if found.keys.len() >= REMEMBERED {
            found.keys.retain(|_, (since, _)| since.elapsed() < TRUST);
        }
        if found.keys.len() < REMEMBERED {
            found
                .keys
                .insert(hash, (Instant::now(), Arc::clone(principal)));
        }
    }

    /// Looks this key up again, and those below it: it has changed.
    pub(crate) fn forget(&self, id: &str) {
        let account = accounts::of_key(id);
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        found
            .keys
            .retain(|_, (_, principal)| !principal.accounts.contains(&account));
        found.changes += 1;
    }

    /// Those of `keys` that nobody can use because the configuration does not know a project that pays for them; each with that project.
    pub(crate) fn lost(&self, keys: Vec<KeyRecord>) -> Vec<(String, String)> {
        let by_id = keys.iter().map(|key| (&*key.id, key)).collect();
        let now = SystemTime::now();
        let lost = |key: &KeyRecord| {
            let family = Family::among(key.clone(), &by_id);
            let project = lost_project(&family, &self.projects)?.to_owned();
            (!family.has_ended(now)).then(|| (key.id.clone(), project))
        };
        keys.iter().filter_map(lost).collect()
    }

    /// The principal of the configuration's key of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Principal>> {
        self.configured().find(|p| p.key.as_deref() == Some(name))
    }

    /// All principals of the configuration.
    pub(crate) fn configured(&self) -> impl Iterator<Item = &Arc<Principal>> {
        self.configured.values()
    }
}

/// A project that pays for calls of `family` and that the configuration does not know: nobody knows its caps, and a key without them
/// would spend what it likes.
fn lost_project<'a>(family: &'a Family, known: &[Arc<str>]) -> Option<&'a str> {
    // Who looks after keys spends nothing, and must be able to mend them.
    let spends = family.key().role == Role::User;
    let mut projects = family.projects().into_iter().filter(|_| spends);
    projects.find(|project| !known.iter().any(|name| **name == **project))
}

/// Until when this secret opens (`Some(None)`: as long as its key does); `None` if it opens nothing.
fn opens(key: &KeyRecord, hash: &[u8; 32], now: SystemTime) -> Option<Option<SystemTime>> {
    let is = |secret: &[u8; 32]| bool::from(secret.ct_eq(hash));
    let old = key.previous.as_ref();
    let old = old.filter(|old| is(&old.hash) && old.until > now);
    match (is(&key.hash), old) {
        (true, _) => Some(None),
        (false, old) => old.map(|old| Some(old.until)),
    }
}

/// Not being able to check is our trouble, not the caller's.
fn unchecked(error: Error) -> Error {
    let message = "the API key cannot be checked right now";
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}
