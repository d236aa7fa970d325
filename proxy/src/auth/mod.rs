//! Who calls: keys, the pepper they are hashed with, and the principals they stand for.

mod credential;
mod keyring;
mod pepper;
mod principal;

pub(crate) use credential::Credential;
pub(crate) use keyring::{Keyring, Silence, TRUST};
pub(crate) use pepper::{Pepper, random_bytes};
pub(crate) use principal::Principal;

#[cfg(test)]
mod tests;
