use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::World;

/// A secret as a file writes it: in plain text, or where to find it. `Debug` shows none of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a secret is a string, { env = \"NAME\" } or { file = \"path\" }"
)]
pub(crate) enum SecretSpec {
    /// The secret itself.
    Literal(SecretString),
    /// The value of an environment variable.
    Env {
        /// Its name.
        env: String,
    },
    /// The first line of a file.
    File {
        /// Its path.
        file: PathBuf,
    },
}

impl PartialEq for SecretSpec {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(own), Self::Literal(other)) => {
                own.expose_secret() == other.expose_secret()
            }
            (Self::Env { env: own }, Self::Env { env: other }) => own == other,
            (Self::File { file: own }, Self::File { file: other }) => own == other,
            _ => false,
        }
    }
}

impl Eq for SecretSpec {}

impl SecretSpec {
    /// The secret, never empty; or why there is none, in words that are safe to show.
    pub(super) fn resolve(&self, world: &World<'_>) -> Result<SecretString, String> {
        let text = match self {
            Self::Literal(secret) => secret.expose_secret().to_owned(),
            Self::Env { env } => world
                .var(env)
                .ok_or_else(|| format!("the environment variable `{env}` is not set"))?
                .to_owned(),
            Self::File { file } => (world.read)(file)
                .map_err(|error| format!("cannot read `{}`: {error}", file.display()))?
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        match text.trim() {
            "" => Err("the secret is empty".into()),
            secret => Ok(secret.into()),
        }
    }
}

/// Words that a secret cannot be made of, longest first.
const WELL_KNOWN: [&str; 20] = [
    "1234567890",
    "0123456789",
    "abcdefghij",
    "changeme",
    "abcdef",
    "password",
    "qwertyuiop",
    "example",
    "default",
    "letmein",
    "openai",
    "secret",
    "please",
    "master",
    "admin",
    "token",
    "rungs",
    "test",
    "your",
    "key",
];

/// Refuses what is easily guessed: short, well-known, or the same few characters over and over.
pub(super) fn is_strong(secret: &SecretString) -> Result<(), String> {
    const SHORTEST: usize = 16;
    let text = secret.expose_secret();
    if text.chars().count() < SHORTEST {
        return Err(format!("the key has fewer than {SHORTEST} characters"));
    }
    let mut rest: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    for word in WELL_KNOWN {
        rest = rest.replace(word, "");
    }
    let mut letters: Vec<char> = rest.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    if rest.len() < SHORTEST / 2 || letters.len() < 5 {
        return Err("the key is easily guessed; `rungs keys create` makes a good one".into());
    }
    Ok(())
}
