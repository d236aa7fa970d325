//! What stores ask of a database whose statements are written once, for PostgreSQL and SQLite alike.

use std::{borrow::Cow, ops::DerefMut};

use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use sqlx::{
    AssertSqlSafe, Connection, Encode, Error as SqlError, Executor, IntoArguments, Transaction,
    Type, query::Query,
};

use super::columns::Columns;
use crate::{
    error::Error,
    store::{ConversationKey, StoreFuture},
};

/// A database that any number of stores share.
pub(in crate::store) trait Database: Clone + Send + Sync + 'static {
    type Session: Session;
    type Borrowed<'a>: DerefMut<Target = Self::Session> + Send;

    /// What begins a transaction that writes.
    const BEGIN: &'static str;

    /// A connection, to be given back soon.
    fn connection(&self) -> StoreFuture<'_, Self::Borrowed<'_>>;

    /// What the client learns of a statement that failed.
    fn failed(what: &'static str) -> impl Fn(SqlError) -> Error;

    /// Bounds the time of an answer where the database may be away.
    fn answered<'a, T: Send + 'a>(
        answer: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> StoreFuture<'a, T>;

    /// The rows that a statement answers with, on a connection of its own; `failing` is what the client learns if there are none.
    fn rows<'a>(
        &'a self,
        statement: Statement<'a>,
        failing: &'static str,
    ) -> StoreFuture<'a, Vec<<Self::Session as Session>::Row>> {
        Self::answered(async move {
            let mut connection = self.connection().await?;
            let rows = connection.rows(statement).await;
            rows.map_err(Self::failed(failing))
        })
    }

    /// How many rows a statement has changed, on a connection of its own.
    fn change<'a>(
        &'a self,
        statement: Statement<'a>,
        failing: &'static str,
    ) -> StoreFuture<'a, u64> {
        Self::answered(async move {
            let mut connection = self.connection().await?;
            let changed = connection.change(statement).await;
            changed.map_err(Self::failed(failing))
        })
    }
}

/// A connection, also one that is in a transaction.
pub(in crate::store) trait Session: Connection + Send {
    type Row: Columns + Send + Sync;

    /// The rows that a statement answers with.
    fn rows<'a>(
        &'a mut self,
        statement: Statement<'_>,
    ) -> BoxFuture<'a, Result<Vec<Self::Row>, SqlError>>;

    /// How many rows a statement has changed.
    fn change<'a>(&'a mut self, statement: Statement<'_>) -> BoxFuture<'a, Result<u64, SqlError>>;

    /// A transaction, which is undone unless it is committed.
    fn transaction(
        &mut self,
        begin: &'static str,
    ) -> BoxFuture<'_, Result<Transaction<'_, Self::Database>, SqlError>>;
}

/// A statement that each of the databases understands, and its values: `$1` is the first.
pub(in crate::store) struct Statement<'a> {
    text: Cow<'static, str>,
    values: SmallVec<[Value<'a>; 8]>,
}

#[derive(Clone, Copy)]
pub(in crate::store) enum Value<'a> {
    Text(Option<&'a str>),
    Bytes(&'a [u8]),
    Big(Option<i64>),
}

pub(in crate::store) fn statement<'a>(text: impl Into<Cow<'static, str>>) -> Statement<'a> {
    Statement {
        text: text.into(),
        values: SmallVec::new(),
    }
}

/// A statement about one conversation, whose tenant and id are `$1` and `$2`.
pub(in crate::store) fn of_conversation<'a>(
    text: impl Into<Cow<'static, str>>,
    key: &'a ConversationKey,
) -> Statement<'a> {
    statement(text).bind(key.tenant()).bind(key.id())
}

impl<'a> Statement<'a> {
    pub(in crate::store) fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// As sqlx has it.
    fn query<D>(self) -> Query<'static, D, D::Arguments>
    where
        D: sqlx::Database,
        for<'v> Option<&'v str>: Encode<'v, D> + Type<D>,
        for<'v> &'v [u8]: Encode<'v, D> + Type<D>,
        for<'v> Option<i64>: Encode<'v, D> + Type<D>,
    {
        // Values are bound, and never part of a text.
        let query = sqlx::query(AssertSqlSafe(self.text));
        self.values
            .into_iter()
            .fold(query, |query, value| match value {
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
                Value::Big(number) => query.bind(number),
            })
    }
}

/// What a statement has done.
pub(in crate::store) trait Done {
    fn changed(&self) -> u64;
}

impl<C> Session for C
where
    C: Connection + Send,
    C::Database: sqlx::Database<Connection = C>,
    <C::Database as sqlx::Database>::Row: Columns + Sync,
    <C::Database as sqlx::Database>::QueryResult: Done,
    <C::Database as sqlx::Database>::Arguments: IntoArguments<C::Database>,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
    for<'v> Option<&'v str>: Encode<'v, C::Database> + Type<C::Database>,
    for<'v> &'v [u8]: Encode<'v, C::Database> + Type<C::Database>,
    for<'v> Option<i64>: Encode<'v, C::Database> + Type<C::Database>,
{
    type Row = <C::Database as sqlx::Database>::Row;

    fn rows<'a>(
        &'a mut self,
        statement: Statement<'_>,
    ) -> BoxFuture<'a, Result<Vec<Self::Row>, SqlError>> {
        Box::pin(statement.query::<C::Database>().fetch_all(self))
    }

    fn change<'a>(&'a mut self, statement: Statement<'_>) -> BoxFuture<'a, Result<u64, SqlError>> {
        let done = statement.query::<C::Database>().execute(self);
        Box::pin(async move { done.await.map(|done| done.changed()) })
    }

    fn transaction(
        &mut self,
        begin: &'static str,
    ) -> BoxFuture<'_, Result<Transaction<'_, C::Database>, SqlError>> {
        Box::pin(self.begin_with(begin))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Big(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Big(number)
    }
}
