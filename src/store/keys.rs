use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Budget, StoreFuture};
use crate::{catalog::Tier, model::OnExhaust};

/// An API key as it is stored: never the secret, only its keyed hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part of the key.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Keyed hash of the whole key.
    pub hash: [u8; 32],
    /// The secret before this one, while it still opens.
    pub previous: Option<Secret>,
    /// Whose data it reaches; keys of one tenant share a cache.
    pub tenant: String,
    /// The id of the key above it: it may do no more than that one, which pays for its calls as well.
    pub parent: Option<String>,
    /// The project that pays as well.
    pub project: Option<String>,
    /// Models it may ask for; empty means all.
    pub models: Vec<String>,
    /// The highest tier it may reach, if it differs from the configured one.
    pub max_tier: Option<Tier>,
    /// Routes it may call, by names that are the gateway's; empty means those that it opens to every key.
    pub routes: Vec<String>,
    /// Its budgets, all in force at once, each over a window of its own.
    pub budgets: Vec<Budget>,
    /// At how many percent of a budget somebody is warned.
    pub warn_at: Option<u8>,
    /// What a call does that its budgets cannot pay for.
    pub on_exhaust: OnExhaust,
    /// What becomes of its calls while nobody can tell what was spent.
    pub on_store_down: OnStoreDown,
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute.
    pub tpm: Option<u64>,
    /// When it was made.
    pub created: SystemTime,
    /// When it ends by itself.
    pub expires: Option<SystemTime>,
    /// When it was taken back.
    pub revoked: Option<SystemTime>,
    /// Counts its changes, so that of two at once the later does not undo the earlier.
    pub version: u64,
}

/// A secret that opens for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Keyed hash of the whole key.
    pub hash: [u8; 32],
    /// It opens until then.
    pub until: SystemTime,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To call models.
    #[default]
    User,
    /// To look after keys. It calls no models.
    Admin,
}

/// What becomes of a key's calls while nobody can tell what was spent. The stricter is the lesser.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum OnStoreDown {
    /// They are refused.
    #[default]
    Closed,
    /// They are made, and counted later.
    Open,
}

/// Keeps keys. Times are kept to the millisecond.
pub trait KeyStore: Send + Sync {
    /// The key with this id, revoked or not.
    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<KeyRecord>>;

    /// Adds a key.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is one with this id, revoked or not.
    fn insert<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, ()>;

    /// Replaces a key by `key`, whose version grows by one; says whether it did. It does not if the stored key has another version
    /// than `key`, or is revoked. Id, role, tenant, parent and the time of making stay what they were.
    fn update<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, bool>;

    /// Takes a key back, with all keys below it; says whether it was there to take back. The first time of revocation stays.
    fn revoke<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool>;

    /// All keys, oldest first.
    fn list(&self) -> StoreFuture<'_, Vec<KeyRecord>>;
}
