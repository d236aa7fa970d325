//! The secret that keys are hashed, and ledger rows sealed, with. It lives beside the database, not in it: a stolen dump is no list of keys.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// The hashing secret of one gateway.
#[derive(Clone)]
pub(crate) struct Pepper {
    /// Each derived for its purpose from the secret that is kept.
    key: [u8; 32],
    seal: [u8; 32],
}

/// Separate the uses of the secret from each other.
const HASHES: &str = "rungs 2026 api key hash v1";
const SEALS: &str = "rungs 2026 ledger seal v1";

impl Pepper {
    /// A secret for this process alone.
    pub(crate) fn random() -> anyhow::Result<Self> {
        Ok(Self::from_secret(&random_bytes()?))
    }

    /// The secret beside `database`; made, readable by its owner only, if there is none.
    pub(crate) fn beside(database: &Path) -> anyhow::Result<Self> {
        let path = PathBuf::from(format!("{}.secret", database.display()));
        match fs::read(&path) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self::from_secret(&bytes)),
            Ok(_) => bail!(
                "{} is damaged: it must hold 32 bytes. Restore it, or delete it and make new keys",
                path.display()
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = random_bytes()?;
                create(&path, &secret)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                Ok(Self::from_secret(&secret))
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The secret that the configuration gives.
    pub(crate) fn of_config(secret: &str) -> Self {
        Self::from_secret(secret.as_bytes())
    }

    fn from_secret(secret: &[u8]) -> Self {
        Self {
            key: blake3::derive_key(HASHES, secret),
            seal: blake3::derive_key(SEALS, secret),
        }
    }

    /// What the rows of the ledger are sealed with.
    pub(crate) fn seal(&self) -> &[u8; 32] {
        &self.seal
    }

    /// The keyed hash of a credential.
    pub(crate) fn hash(&self, credential: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.key, credential.as_bytes()).as_bytes()
    }
}

/// 32 bytes from the system.
pub(crate) fn random_bytes() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("the system gives no random bytes")?;
    Ok(bytes)
}

fn create(path: &Path, secret: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(secret)?;
    file.sync_all()
}
