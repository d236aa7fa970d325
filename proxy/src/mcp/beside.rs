//! One process owns a SQLite file, and MCP clients start one process per window. So whoever owns the file lets the others in by a
//! socket beside it, which only the file's owner can open: they bring their clients, and their key if they have one.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use rmcp::ServiceExt;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::server::{Server, Who};
use crate::config::{Config, StoreUrl};

/// How long each side waits for the other's first line.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest first line, in bytes.
const LONGEST: usize = 4096;

/// Clients that are let in at once.
const MOST: usize = 256;

/// What a process says that wants in.
#[derive(Serialize, Deserialize)]
struct Hello {
    key: Option<String>,
}

/// What it is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Welcome,
    Refused(String),
}

/// Where the socket of a configuration's database is; a database that processes share needs none.
pub(crate) fn socket(config: &Config) -> Option<PathBuf> {
    match &config.store.url {
        StoreUrl::Sqlite(path) => Some(PathBuf::from(format!("{}.sock", path.display()))),
        StoreUrl::Memory | StoreUrl::Postgres(_) => None,
    }
}

/// The socket, while its owner holds it.
pub(crate) struct Door {
    path: PathBuf,
    listener: UnixListener,
}

impl Door {
    /// Makes the socket. The caller owns the database: one that is left over is nobody's.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let door = Self { path, listener };
        fs::set_permissions(&door.path, fs::Permissions::from_mode(0o600))?;
        Ok(door)
    }

    /// Lets clients in for as long as it is polled; their conversations end with it.
    pub(crate) async fn serve(&self, server: &Server) {
        let mut clients = JoinSet::new();
        loop {
            let accepted = self.listener.accept().await;
            while clients.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if clients.len() < MOST => {
                    let server = server.clone();
                    clients.spawn(async move {
                        if let Err(error) = admit(stream, server).await {
                            tracing::debug!(error = format!("{error:#}"), "a client of the socket");
                        }
                    });
                }
                Ok(_) => tracing::warn!("too many MCP clients at the socket"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client at the socket");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn admit(mut stream: UnixStream, server: Server) -> anyhow::Result<()> {
    let hello: Hello = serde_json::from_str(&line(&mut stream).await?)?;
    let who = match hello.key {
        Some(key) => Who::Key(key.into()),
        None => Who::Local,
    };
    let server = server.of(who);
    let reply = match server.check().await {
        Ok(()) => Reply::Welcome,
        Err(error) => Reply::Refused(error.message().to_owned()),
    };
    let refused = matches!(reply, Reply::Refused(_));
    let reply = format!("{}\n", serde_json::to_string(&reply)?);
    stream.write_all(reply.as_bytes()).await?;
    if !refused {
        super::served(server).serve(stream).await?.waiting().await?;
    }
    Ok(())
}

/// Asks the owner of the database to serve us; `None` if nobody is there.
///
/// # Errors
/// The owner does not want us, or says nothing.
pub(super) async fn connect(
    path: &Path,
    key: Option<&SecretString>,
) -> anyhow::Result<Option<UnixStream>> {
    let Ok(mut stream) = UnixStream::connect(path).await else {
        return Ok(None);
    };
    let hello = Hello {
        key: key.map(|key| key.expose_secret().to_owned()),
    };
    let hello = format!("{}\n", serde_json::to_string(&hello)?);
    if stream.write_all(hello.as_bytes()).await.is_err() {
        return Ok(None);
    }
    // One that is just ending says nothing any more.
    let Ok(reply) = line(&mut stream).await else {
        return Ok(None);
    };
    match serde_json::from_str(&reply).context("the owner of the database says something odd")? {
        Reply::Welcome => Ok(Some(stream)),
        Reply::Refused(why) => {
            bail!("the process that owns the database does not let us in: {why}")
        }
    }
}

/// A line, without reading beyond it.
async fn line(from: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<String> {
    let read = async {
        let mut line = Vec::new();
        loop {
            match from.read_u8().await? {
                b'\n' => return Ok(String::from_utf8(line)?),
                _ if line.len() == LONGEST => bail!("the first line is too long"),
                byte => line.push(byte),
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await?
}
