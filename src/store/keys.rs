use std::time::SystemTime;

use super::{Budget, StoreFuture};
use crate::catalog::Tier;

/// An API key as it is stored: never the secret, only its keyed hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part of the key.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Keyed hash of the whole key.
    pub hash: [u8; 32],
    /// Whose data it reaches; keys of one tenant share a cache.
    pub tenant: String,
    /// Models it may ask for; empty means all.
    pub models: Vec<String>,
    /// The highest tier it may reach, if it differs from the configured one.
    pub max_tier: Option<Tier>,
    /// Its budget.
    pub budget: Option<Budget>,
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute.
    pub tpm: Option<u64>,
    /// When it was made.
    pub created: SystemTime,
    /// When it was taken back.
    pub revoked: Option<SystemTime>,
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

    /// Takes a key back; says whether there was one to take back. The first time of revocation stays.
    fn revoke<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool>;

    /// All keys, oldest first.
    fn list(&self) -> StoreFuture<'_, Vec<KeyRecord>>;
}
