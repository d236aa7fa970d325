//! One process owns a SQLite file, and MCP clients start one process per window. So whoever owns the file lets the others in by a
//! socket beside it, which only the file's owner can open: they bring their clients, the folder that they were started in, and their
//! key if they have one.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use rmcp::ServiceExt;
use rungs::Error;
use rustix::process::geteuid;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::{connection::Who, server::Server, socket_path::SocketPath};
use crate::{
    auth::Principal,
    config::{Config, StoreUrl},
};

/// How long each side waits for the other's first line.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest first line, in bytes: paths may have 4096, and more when they are escaped.
const LONGEST: usize = 16 << 10;

/// Clients that are let in at once.
const MOST: usize = 256;

/// What a process says that wants in.
#[derive(Serialize, Deserialize)]
struct Hello {
    key: Option<String>,
    /// Its working directory.
    folder: PathBuf,
}

impl Hello {
    /// Who says this.
    fn who(self) -> Result<Who, Error> {
        match self.key {
            Some(key) => Ok(Who::Key(key.into())),
            // Another one would be of our own folder. Whether it is there is seen when it is first needed, as with ours.
            None if !self.folder.is_absolute() => {
                Err(Error::invalid("the working directory is no absolute path"))
            }
            None => Ok(Who::Local(Principal::local_in(self.folder))),
        }
    }
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
        let listener = UnixListener::bind(SocketPath::of(&path)?.path())?;
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
    // The socket's mode says the same; but a folder may be opened to others, and modes be changed.
    ensure!(
        stream.peer_cred()?.uid() == geteuid().as_raw(),
        "somebody else's process wants in"
    );
    let hello: Hello = serde_json::from_str(&line(&mut stream).await?)?;
    let admitted = async {
        let server = server.of(hello.who()?);
        server.check().await.map(|()| server)
    };
    match admitted.await {
        Ok(server) => {
            say(&mut stream, &Reply::Welcome).await?;
            super::served(server).serve(stream).await?.waiting().await?;
        }
        Err(error) => say(&mut stream, &Reply::Refused(error.message().to_owned())).await?,
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
    let Ok(mut stream) = dial(path).await else {
        return Ok(None);
    };
    let hello = Hello {
        key: key.map(|key| key.expose_secret().to_owned()),
        folder: env::current_dir().context("the working directory")?,
    };
    if say(&mut stream, &hello).await.is_err() {
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

async fn dial(path: &Path) -> io::Result<UnixStream> {
    let short = SocketPath::of(path)?;
    UnixStream::connect(short.path()).await
}

async fn say(to: &mut UnixStream, words: &impl Serialize) -> anyhow::Result<()> {
    let line = format!("{}\n", serde_json::to_string(words)?);
    Ok(to.write_all(line.as_bytes()).await?)
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
