use std::fmt::Write as _;

use rungs::Error;

use super::{Pepper, pepper::random_bytes};

/// What keys of ours begin with.
const PREFIX: &str = "sk-rungs-";

/// A key that was just made: `sk-rungs-<id>-<secret>`. The secret is not kept anywhere.
pub(crate) struct Credential {
    /// The public part.
    pub(crate) id: String,
    /// The whole of it, for its user.
    pub(crate) text: String,
    /// What is kept.
    pub(crate) hash: [u8; 32],
}

impl Credential {
    /// A key of 256 random bits, with an id of its own.
    pub(crate) fn fresh(pepper: &Pepper) -> Result<Self, Error> {
        let id = hex(&random()?[..6]);
        Self::again(&id, pepper)
    }

    /// A new secret for an id.
    pub(crate) fn again(id: &str, pepper: &Pepper) -> Result<Self, Error> {
        let text = format!("{PREFIX}{id}-{}", hex(&random()?));
        Ok(Self {
            id: id.to_owned(),
            hash: pepper.hash(&text),
            text,
        })
    }
}

/// The id in a credential of ours.
pub(super) fn id_of(credential: &str) -> Option<&str> {
    let (id, _) = credential.strip_prefix(PREFIX)?.split_once('-')?;
    Some(id)
}

fn random() -> Result<[u8; 32], Error> {
    random_bytes()
        .map_err(|e| Error::internal("no key can be made").with_source(e.into_boxed_dyn_error()))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
