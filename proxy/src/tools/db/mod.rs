//! Tables that are set apart for tools: a SQLite file of their own, or a schema of a PostgreSQL behind a role that reaches nothing else.

mod catalog;
mod db_insert;
mod db_query;
mod db_update;
mod local;
mod remote;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use rmcp::schemars::{self, JsonSchema};
use rungs::{Error, ErrorKind};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Typed, Workshop};
use crate::config::Tools;

/// The most rows of an answer.
const ROWS: usize = 1000;

/// The most bytes of an answer, as JSON.
const BYTES: usize = 1 << 20;

/// The longest that a statement takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A row: values by column.
type Row = Map<String, Value>;

/// All of them, in the order in which they are listed.
pub(super) fn all(workshop: &Arc<Workshop>) -> Vec<Typed> {
    vec![
        db_query::tool(workshop),
        db_insert::tool(workshop),
        db_update::tool(workshop),
    ]
}

/// Where the tables are.
pub(super) enum Tables {
    Local(local::Local),
    Remote(remote::Remote),
}

/// What a query gives.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(super) struct Rows {
    /// The rows, each an object by column.
    pub(super) rows: Vec<Row>,
    /// Whether there are more.
    pub(super) more: bool,
    #[serde(skip)]
    bytes: usize,
}

impl Rows {
    /// Takes a row, if there is room for it; otherwise there are more.
    fn take(&mut self, row: Row) -> bool {
        let row = Value::Object(row);
        self.bytes += row.to_string().len();
        let Value::Object(row) = row else {
            return false;
        };
        self.more = self.rows.len() == ROWS || self.bytes > BYTES;
        if !self.more {
            self.rows.push(row);
        }
        !self.more
    }
}

impl Tables {
    /// Those of the configuration.
    pub(super) async fn open(tools: &Tools) -> Result<Self, Error> {
        match &tools.database {
            None => Ok(Self::Local(local::Local::open(
                &tools.data,
                tools.schema.as_deref(),
            )?)),
            Some(url) => Ok(Self::Remote(remote::Remote::open(url).await?)),
        }
    }

    /// One SELECT.
    pub(super) async fn query(&self, sql: String, params: Vec<Value>) -> Result<Rows, Error> {
        if sql.len() > 64 << 10 {
            return Err(Error::invalid("the statement is longer than 64 KiB").param("sql"));
        }
        match self {
            Self::Local(local) => local.query(sql, params).await,
            Self::Remote(remote) => remote.query(sql, params).await,
        }
    }

    /// Inserts one row; gives how many.
    pub(super) async fn insert(&self, table: String, row: Row) -> Result<u64, Error> {
        match self {
            Self::Local(local) => local.insert(table, row).await,
            Self::Remote(remote) => remote.insert(table, row).await,
        }
    }

    /// Changes the row of this primary key; gives how many.
    pub(super) async fn update(&self, table: String, key: Row, set: Row) -> Result<u64, Error> {
        match self {
            Self::Local(local) => local.update(table, key, set).await,
            Self::Remote(remote) => remote.update(table, key, set).await,
        }
    }
}

/// A statement that changes more than one row changes none: it is rolled back with this.
fn too_many(rows: u64) -> Error {
    Error::invalid(format!(
        "this would change {rows} rows; one is changed at a time, and none was"
    ))
}

fn too_slow() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "the statement took longer than 2 seconds",
    )
}
