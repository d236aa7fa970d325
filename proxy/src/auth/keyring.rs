use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use rungs::{Error, ErrorKind, store::KeyStore};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::{Pepper, Principal, pepper::random_bytes};
use crate::config::Key;

/// How long a key that was found is trusted without asking the store again; a revocation takes this long at most.
const TRUST: Duration = Duration::from_secs(30);

/// The most credentials that are remembered at once.
const REMEMBERED: usize = 10_000;

/// What keys of ours begin with.
const PREFIX: &str = "sk-rungs-";

/// Finds out who stands behind a credential.
pub(crate) struct Keyring {
    pepper: Pepper,
    store: Arc<dyn KeyStore>,
    /// By the hash of the whole credential: equal beginnings never share an identity.
    configured: HashMap<[u8; 32], Arc<Principal>>,
    found: RwLock<Found>,
}

/// Keys of the store, and when they were looked up, by hash.
type Found = HashMap<[u8; 32], (Instant, Arc<Principal>)>;

/// A key that was just made. The secret is not kept anywhere.
pub(crate) struct NewKey {
    /// The whole credential, for its user.
    pub(crate) credential: String,
    /// The public part.
    pub(crate) id: String,
    /// What is kept.
    pub(crate) hash: [u8; 32],
}

impl Keyring {
    pub(crate) fn new(pepper: Pepper, store: Arc<dyn KeyStore>, configured: &[Key]) -> Self {
        let configured = configured.iter().map(|key| {
            let hash = pepper.hash(key.secret.expose_secret());
            (hash, Arc::new(Principal::of_config(key)))
        });
        Self {
            configured: configured.collect(),
            found: RwLock::default(),
            pepper,
            store,
        }
    }

    /// Makes a key of 256 random bits; the caller stores it.
    pub(crate) fn make(pepper: &Pepper) -> anyhow::Result<NewKey> {
        let id = hex(&random_bytes()?[..6]);
        let credential = format!("{PREFIX}{id}-{}", hex(&random_bytes()?));
        Ok(NewKey {
            hash: pepper.hash(&credential),
            credential,
            id,
        })
    }

    /// The principal behind a credential that was seen lately, without asking the store.
    pub(crate) fn known(&self, credential: &str) -> Option<Arc<Principal>> {
        let hash = self.pepper.hash(credential);
        if let Some(principal) = self.configured.get(&hash) {
            return Some(Arc::clone(principal));
        }
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        let (since, principal) = found.get(&hash)?;
        (since.elapsed() < TRUST).then(|| Arc::clone(principal))
    }

    /// The principal behind a credential, read from the store.
    pub(crate) async fn look_up(&self, credential: &str) -> Result<Arc<Principal>, Error> {
        let unknown = || {
            Error::new(
                ErrorKind::Unauthorized,
                "the API key is not known, or was revoked",
            )
        };
        let (id, _) = credential
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('-'))
            .ok_or_else(unknown)?;
        // Not being able to check is our trouble, not the caller's.
        let record = self.store.get(id).await.map_err(|e| {
            Error::new(
                ErrorKind::Unavailable,
                "the API key cannot be checked right now",
            )
            .with_source(e)
        })?;
        let record = record.ok_or_else(unknown)?;
        let hash = self.pepper.hash(credential);
        let same: bool = record.hash.ct_eq(&hash).into();
        if !same || record.revoked.is_some_and(|at| at <= SystemTime::now()) {
            return Err(unknown());
        }
        Ok(Arc::new(Principal::of_record(&record)))
    }

    /// Trusts a credential that was looked up for a while.
    pub(crate) fn remember(&self, credential: &str, principal: &Arc<Principal>) {
        let hash = self.pepper.hash(credential);
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= REMEMBERED {
            found.retain(|_, (since, _)| since.elapsed() < TRUST);
        }
        if found.len() < REMEMBERED {
            found.insert(hash, (Instant::now(), Arc::clone(principal)));
        }
    }

    /// All principals of the configuration.
    pub(crate) fn configured(&self) -> impl Iterator<Item = &Arc<Principal>> {
        self.configured.values()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
