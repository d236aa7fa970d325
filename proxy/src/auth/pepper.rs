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
        let read = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                place(&path, &random_bytes()?)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                // Another process may have come first: its secret is the one.
                fs::read(&path)
            }
            read => read,
        };
        let secret = read.with_context(|| format!("cannot read {}", path.display()))?;
        if secret.len() != 32 {
            bail!(
                "{} is damaged: it must hold 32 bytes. Restore it, or delete it and make new keys",
                path.display()
            );
        }
        Ok(Self::from_secret(&secret))
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

/// Makes the file at `path`, whole and to stay, unless there is one. A crash leaves no part of a secret under its name.
fn place(path: &Path, secret: &[u8; 32]) -> anyhow::Result<()> {
    let unlike_others = blake3::Hash::from_bytes(random_bytes()?).to_hex();
    let new = path.with_extension(format!("{}.secret", &unlike_others[..16]));
    let placed = write(&new, secret).and_then(|()| match fs::hard_link(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Not every file system has links. Where there are none, a crash at this moment may leave a part of it.
        Err(_) => match write(path, secret) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            written => written,
        },
        Ok(()) => Ok(()),
    });
    // What it holds has its own name now, or is of no use.
    let _ = fs::remove_file(&new);
    placed?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

fn write(path: &Path, secret: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(secret)?;
    file.sync_all()
}
