use std::time::Duration;

use tokio::task::JoinError;

use crate::{
    error::{BoxError, Error, ErrorKind},
    store::sql::passing::may_pass,
};

/// How long a client may wait until it asks again while the file cannot be used.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What using the file fails with.
pub(super) trait Failure: Into<BoxError> {
    /// Whether it may succeed another time, as it is.
    fn may_pass(&self) -> bool;
}

/// The client learns no more than whether it may try again.
pub(super) fn failed<E: Failure>(what: &'static str) -> impl Fn(E) -> Error {
    move |error| match error.may_pass() {
        true => Error::new(ErrorKind::Unavailable, what)
            .retry_after(RETRY_AFTER)
            .with_source(error),
        false => Error::internal(what).with_source(error),
    }
}

impl Failure for sqlx::Error {
    fn may_pass(&self) -> bool {
        may_pass(self, |code| code.parse().is_ok_and(passing))
    }
}

impl Failure for rusqlite::Error {
    fn may_pass(&self) -> bool {
        let code = self.sqlite_error().map(|error| error.extended_code);
        code.is_some_and(passing)
    }
}

impl Failure for JoinError {
    fn may_pass(&self) -> bool {
        false
    }
}

/// Whether others have the file, or its disk fails: by the primary code, which is the last byte of an extended one.
fn passing(code: i32) -> bool {
    use rusqlite::ffi;
    matches!(
        code & 0xff,
        ffi::SQLITE_BUSY
            | ffi::SQLITE_LOCKED
            | ffi::SQLITE_NOMEM
            | ffi::SQLITE_READONLY
            | ffi::SQLITE_INTERRUPT
            | ffi::SQLITE_IOERR
            | ffi::SQLITE_FULL
            | ffi::SQLITE_CANTOPEN
            | ffi::SQLITE_PROTOCOL
    )
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, Executor, SqliteConnection};

    use super::*;

    /// The kind of what a statement fails with.
    async fn kind(connection: &mut SqliteConnection, sql: &'static str) -> ErrorKind {
        let error = connection.execute(sql).await.expect_err("it fails");
        failed("it fails")(error).kind()
    }

    #[tokio::test]
    async fn what_may_pass_is_told_from_what_will_be_refused_again() {
        let dir = std::env::temp_dir().join(format!("rungs-failure-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let url = format!("sqlite:{}?mode=rwc", dir.join("some.db").display());
        let mut one = SqliteConnection::connect(&url).await.unwrap();
        let mut two = SqliteConnection::connect(&url).await.unwrap();
        one.execute(
            "CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT); INSERT INTO t (n) VALUES (1)",
        )
        .await
        .unwrap();
        assert_eq!(
            kind(&mut two, "INSERT INTO t (n) VALUES (1)").await,
            ErrorKind::Internal
        );
        two.execute("PRAGMA busy_timeout = 0; PRAGMA max_page_count = 1")
            .await
            .unwrap();
        let long = "INSERT INTO t (text) VALUES (printf('%.*c', 1000000, 'x'))";
        assert_eq!(kind(&mut two, long).await, ErrorKind::Unavailable, "full");
        one.execute("BEGIN IMMEDIATE").await.unwrap();
        assert_eq!(
            kind(&mut two, "BEGIN IMMEDIATE").await,
            ErrorKind::Unavailable,
            "in use"
        );
        let missing = rusqlite::Connection::open(dir.join("nowhere/some.db")).unwrap_err();
        assert_eq!(failed("it fails")(missing).kind(), ErrorKind::Unavailable);
        drop((one, two));
        let _ = std::fs::remove_dir_all(&dir);
    }
}
