//! What opens `/mcp` and the code agent on an open loopback: tools do more than answer questions, so not every program on this
//! computer may use them, only those that can read a file of ours.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use subtle::ConstantTimeEq;

use crate::auth::random_bytes;

/// The token of this computer's clients. Only its hash is kept in memory.
pub(crate) struct LocalToken([u8; 32]);

impl LocalToken {
    /// The token in the file beside `database`, which only its owner can read; made if there is none. Gives the file as well.
    pub(crate) fn beside(database: &Path) -> anyhow::Result<(Self, PathBuf)> {
        let path = PathBuf::from(format!("{}.mcp-token", database.display()));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(&path).with_context(|| format!("cannot write {}", path.display()))?
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot close {} to others", path.display()))?;
        let token = text.trim();
        ensure!(
            token.len() >= 32,
            "{} is damaged: it must hold a token of 32 characters or more. Delete it, and a new one is made",
            path.display()
        );
        Ok((Self(hash(token)), path))
    }

    /// Whether `credential` is the token.
    pub(crate) fn is(&self, credential: &str) -> bool {
        bool::from(self.0.ct_eq(&hash(credential)))
    }
}

fn hash(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

fn create(path: &Path) -> anyhow::Result<String> {
    let token = format!("rungs-mcp-{}", blake3::Hash::from(random_bytes()?).to_hex());
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_where_only_its_owner_reads_it() {
        let folder = std::env::temp_dir().join(format!("rungs-token-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let database = folder.join("rungs.db");
        let (token, path) = LocalToken::beside(&database).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(token.is(text.trim()) && !token.is("") && !token.is(&text));
        // Somebody opened it to others.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let (again, _) = LocalToken::beside(&database).unwrap();
        assert!(again.is(text.trim()));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(&path, "short").unwrap();
        assert!(LocalToken::beside(&database).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
