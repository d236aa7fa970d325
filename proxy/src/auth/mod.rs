//! Who calls: keys, the pepper they are hashed with, and the principals they stand for.

mod keyring;
mod pepper;
mod principal;

pub(crate) use keyring::Keyring;
pub(crate) use pepper::Pepper;
pub(crate) use principal::{GLOBAL, Principal, account};

#[cfg(test)]
mod tests;
