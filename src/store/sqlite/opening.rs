//! How a file is opened whose schema may have to be made, or to be brought up to date.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions, Connection,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};

use super::{BUSY, migrations};
use crate::{
    error::{Error, ErrorKind},
    store::lock,
};

/// How often it is looked whether others are done.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until no other process is opening the file, for [`BUSY`] at most; others wait until this is dropped.
///
/// Whoever has it knows what the owner's lock means: that a process runs on the file, whose schema is made. Without it, a command that
/// was at the schema for a moment would be taken for an owner, and an owner that is at it for one that is done.
pub(super) async fn alone(path: &Path) -> Result<File, Error> {
    let began = Instant::now();
    loop {
        if let Some(alone) = lock::take_as(path, "opening")? {
            return Ok(alone);
        }
        if began.elapsed() >= BUSY {
            let path = path.display();
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "another rungs process has been opening the database {path} for a while: it may be bringing its schema up to \
                     date; try again"
                ),
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A connection to a file whose schema is up to date.
pub(super) async fn migrated(options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    let path = options.get_filename();
    let mut connection = options.connect().await.map_err(|e| {
        Error::internal(format!("the database {} cannot be opened", path.display())).with_source(e)
    })?;
    match migrations::run(&mut connection, path).await {
        Ok(()) => Ok(connection),
        Err(error) => {
            // Left to drop, the connection would still be closing in its thread when the lock is free.
            let _ = connection.close().await;
            Err(error)
        }
    }
}

/// Brings the schema of a file up to date that no process owns; one that does has done so.
pub(super) async fn update(options: &SqliteConnectOptions) -> Result<(), Error> {
    let path = options.get_filename();
    let _alone = alone(path).await?;
    if let Some(_lock) = lock::take(path)? {
        let _ = migrated(options).await?.close().await;
    }
    Ok(())
}
