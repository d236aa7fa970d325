//! The connection that writes the ledger's rows. They are most of what is written here, and a connection of `sqlx` would copy each value
//! of them three times and cross to another thread for each statement: this one takes a batch at once.

use std::{fs::File, path::Path};

use rusqlite::{Connection, OpenFlags};
use tokio::task::spawn_blocking;

use super::{BUSY, failed};
use crate::error::Error;

pub(super) struct Writer {
    pub(super) connection: Connection,
    /// The file is free for others when nothing is written to it any more.
    lock: File,
}

impl Writer {
    /// Opens the file at `path`, which is there and has its schema, as `url` wants it.
    pub(super) async fn open(path: &Path, url: &str, lock: File) -> Result<Self, Error> {
        let path = path.to_path_buf();
        let options = url.split_once('?').map_or("", |(_, options)| options);
        let vfs = options
            .split('&')
            .rev()
            .find_map(|o| o.strip_prefix("vfs="));
        let vfs = vfs.map(str::to_owned);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        blocking(move || {
            let connection = match vfs.as_deref() {
                Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
                None => Connection::open_with_flags(path, flags),
            };
            let connection = connection.and_then(|connection| {
                connection.busy_timeout(BUSY)?;
                connection.pragma_update(None, "synchronous", "FULL")?;
                Ok(connection)
            });
            let connection = connection.map_err(failed("the ledger's file cannot be opened"))?;
            Ok(Self { connection, lock })
        })
        .await
    }

    pub(super) async fn close(self) -> Result<(), Error> {
        blocking(move || {
            let closed = self.connection.close();
            let closed =
                closed.map_err(|(_, e)| failed("the ledger's file was not closed in order")(e));
            drop(self.lock);
            closed
        })
        .await
    }
}

/// Does what waits for the disk where nobody else waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(failed("the ledger's file is out of reach")(e)))
}
