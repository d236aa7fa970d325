use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::done;
use crate::{
    error::Error,
    store::{KeyRecord, KeyStore, StoreFuture},
};

/// Keys in memory: those of a configuration file, and of tests.
#[derive(Default)]
pub struct MemoryKeys(Mutex<HashMap<String, KeyRecord>>);

impl MemoryKeys {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, KeyRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromIterator<KeyRecord> for MemoryKeys {
    fn from_iter<I: IntoIterator<Item = KeyRecord>>(keys: I) -> Self {
        Self(Mutex::new(
            keys.into_iter().map(|key| (key.id.clone(), key)).collect(),
        ))
    }
}

impl KeyStore for MemoryKeys {
    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<KeyRecord>> {
        done(self.keys().get(id).cloned())
    }

    fn insert<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, ()> {
        let inserted = match self.keys().entry(key.id.clone()) {
            Entry::Vacant(free) => {
                free.insert(key.clone());
                Ok(())
            }
            Entry::Occupied(_) => Err(Error::invalid(format!(
                "a key with the id `{}` exists already",
                key.id
            ))),
        };
        Box::pin(ready(inserted))
    }

    fn update<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, bool> {
        let mut keys = self.keys();
        let stored = keys.get_mut(&key.id);
        let stored = stored.filter(|old| old.revoked.is_none() && old.version == key.version);
        done(match stored {
            Some(old) => {
                *old = KeyRecord {
                    role: old.role,
                    tenant: std::mem::take(&mut old.tenant),
                    parent: old.parent.take(),
                    created: old.created,
                    revoked: None,
                    version: old.version + 1,
                    ..key.clone()
                };
                true
            }
            None => false,
        })
    }

    fn revoke<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool> {
        let mut keys = self.keys();
        let now = SystemTime::now();
        let known = keys.get(id).is_some_and(|key| key.revoked.is_none());
        let mut ids = if known {
            vec![id.to_owned()]
        } else {
            Vec::new()
        };
        while let Some(id) = ids.pop() {
            if let Some(key) = keys.get_mut(&id) {
                key.revoked.get_or_insert(now);
            }
            let below = keys
                .values()
                .filter(|key| key.parent.as_ref() == Some(&id) && key.revoked.is_none());
            ids.extend(below.map(|key| key.id.clone()));
        }
        done(known)
    }

    fn list(&self) -> StoreFuture<'_, Vec<KeyRecord>> {
        let mut keys: Vec<_> = self.keys().values().cloned().collect();
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        done(keys)
    }
}

impl fmt::Debug for MemoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryKeys")
            .field("keys", &self.keys().len())
            .finish()
    }
}
