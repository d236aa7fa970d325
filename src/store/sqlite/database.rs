use sqlx::{
    Error as SqlError, Sqlite, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnection, SqliteQueryResult},
};

use super::failed;
use crate::{
    error::Error,
    store::{
        StoreFuture,
        sql::{
            database::{Database, Done},
            names::{Texts, texts},
        },
    },
};

impl Database for SqlitePool {
    type Session = SqliteConnection;
    type Borrowed<'a> = PoolConnection<Sqlite>;

    /// A transaction that begins with reading may find that it cannot write.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";

    fn connection(&self) -> StoreFuture<'_, PoolConnection<Sqlite>> {
        let connection = self.acquire();
        Box::pin(async move { connection.await.map_err(failed("the database is in use")) })
    }

    fn failed(what: &'static str) -> impl Fn(SqlError) -> Error {
        failed(what)
    }

    fn answered<'a, T: Send + 'a>(
        answer: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(answer)
    }
}

impl Done for SqliteQueryResult {
    fn changed(&self) -> u64 {
        self.rows_affected()
    }
}

pub(super) const NAMES: Texts = texts!("CAST(unixepoch('subsec') * 1000 AS INTEGER)", None);
