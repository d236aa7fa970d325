use std::sync::Arc;

use sqlx::{
    Error as SqlError,
    postgres::{PgConnection, PgQueryResult},
};

use super::{
    failed,
    pool::{Connection, Pool, answered},
};
use crate::{
    error::Error,
    store::{
        StoreFuture,
        sql::{
            database::{Database, Done},
            names::{Texts, claims, texts},
        },
    },
};

impl Database for Arc<Pool> {
    type Session = PgConnection;
    type Borrowed<'a> = Connection<'a>;

    const BEGIN: &'static str = "BEGIN";

    fn connection(&self) -> StoreFuture<'_, Connection<'_>> {
        Box::pin(self.get())
    }

    fn failed(what: &'static str) -> impl Fn(SqlError) -> Error {
        failed(what)
    }

    fn answered<'a, T: Send + 'a>(
        answer: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(answered(answer))
    }
}

impl Done for PgQueryResult {
    fn changed(&self) -> u64 {
        self.rows_affected()
    }
}

/// By the database's clock: those of processes may differ.
pub(super) const NAMES: Texts = texts!(
    "(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT",
    Some(claims!(
        "(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT"
    ))
);
